package acl

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/runnel-io/runnel/metastore"
)

// Mode is what is made of decisions.
type Mode string

// The modes.
const (
	Off    Mode = "off"    // everything is allowed, and rules cannot be changed
	On     Mode = "on"     // rules decide
	Shadow Mode = "shadow" // everything is allowed, and what rules would deny is told of
)

// Source has the rules as of what this broker knows of the commit log; metastore.Replica is one.
type Source interface {
	ConfigsOf(kind metastore.ConfigKind) *metastore.ConfigSet
}

// LiveOptions are those of a Live; the zero value is one that allows everything.
type LiveOptions struct {
	Mode       Mode // default Off
	Policy     Policy
	Logger     *slog.Logger          // default: discard
	Registerer prometheus.Registerer // default: none
	Now        func() time.Time      // default: time.Now
}

// Live decides by the rules that are in the commit log at the moment of the question.
//
// Who finds that the rules have changed makes the index anew, and whoever asks meanwhile waits for it: an answer by
// the old one could be after the answer to whoever took a right away. So a broker applies a rule from the moment on at which it
// hears of it, which is before the answer to the change where that was asked for, and a push or a poll later elsewhere.
type Live struct {
	opts    LiveOptions
	source  Source
	metrics *metrics
	notices notices

	now       atomic.Pointer[indexed]
	build     sync.Mutex            // held by whoever makes the next
	candidate atomic.Pointer[Index] // nil: none
}

// indexed is what follows from the rules of some moment.
type indexed struct {
	set        *metastore.ConfigSet
	index      *Index
	unreadable int
}

// NewLive makes a Live. Nothing is looked at before the first question.
func NewLive(source Source, opts LiveOptions) *Live {
	if opts.Mode == "" {
		opts.Mode = Off
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	l := &Live{opts: opts, source: source}
	l.metrics = newMetrics(opts.Registerer, l)
	return l
}

// Enabled tells whether rules can be seen and changed.
func (l *Live) Enabled() bool { return l.opts.Mode != Off }

// Allowed decides, and tells of what is allowed only because rules are not in force.
func (l *Live) Allowed(who Client, op Operation, on Resource) bool {
	return l.decide(func(x *Index) bool { return x.Allowed(who, op, on) }, func(x *Index, of ruleSet) { l.notice(x, of, who, op, on) })
}

// AllowedOnAny is Allowed for some resource of a type.
func (l *Live) AllowedOnAny(who Client, op Operation, on ResourceType) bool {
	return l.decide(func(x *Index) bool { return x.AllowedOnAny(who, op, on) }, func(_ *Index, of ruleSet) { l.noticeAny(of, who, op, on) })
}

// Authorized returns the operations that the client may do on a resource, as bits by their codes. It does not tell of those
// that would be denied: nobody is about to do them.
func (l *Live) Authorized(who Client, on Resource) (bits int32) {
	if l.opts.Mode == On {
		return l.index().Authorized(who, on)
	}
	for _, op := range on.Type.Operations() {
		bits |= 1 << op
	}
	return bits
}

func (l *Live) decide(by func(*Index) bool, denied func(*Index, ruleSet)) bool {
	if l.opts.Mode != Off {
		if x := l.index(); !by(x) {
			if l.opts.Mode == On {
				return false
			}
			denied(x, inForce)
			return true // and what a candidate says of it is nothing new
		}
	}
	if x := l.candidate.Load(); x != nil && !by(x) {
		denied(x, candidate)
	}
	return true
}

// SetCandidate puts rules beside those in force: what they would deny that is allowed is told of. nil is none.
func (l *Live) SetCandidate(rules []Rule) {
	if rules == nil {
		l.candidate.Store(nil)
		return
	}
	l.candidate.Store(New(rules, l.opts.Policy))
}

// index decides by the rules of this moment.
func (l *Live) index() *Index {
	if now := l.now.Load(); now != nil && now.set == l.source.ConfigsOf(metastore.AccessRules) {
		return now.index
	}
	return l.latest().index
}

func (l *Live) latest() *indexed {
	l.build.Lock()
	defer l.build.Unlock()
	set := l.source.ConfigsOf(metastore.AccessRules)
	if now := l.now.Load(); now != nil && now.set == set {
		return now
	}
	start := l.opts.Now()
	stored := FromPairs(set.All())
	next := &indexed{set, New(append(stored.Rules, stored.StandIns...), l.opts.Policy), len(stored.Unreadable)}
	l.now.Store(next)
	l.metrics.built.Observe(l.opts.Now().Sub(start).Seconds())
	if len(stored.Unreadable) > 0 {
		l.opts.Logger.Error("access rules that this version cannot read: what they may deny is denied", "rules", len(stored.Unreadable), "first", stored.Unreadable[0])
	}
	return next
}
