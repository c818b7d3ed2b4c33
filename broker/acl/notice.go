package acl

import (
	"fmt"
	"strings"
	"sync"
	"time"
)

// ruleSet is whose denials are told of.
type ruleSet string

const (
	inForce   ruleSet = "in_force"  // they would be, but for the mode
	candidate ruleSet = "candidate" // see Live.SetCandidate
)

// Each denial is told once in noticeEvery, and no more of them than mostNotices.
const (
	noticeEvery = time.Minute
	mostNotices = 100
)

// notices are the denials that were told of lately.
type notices struct {
	mu      sync.Mutex
	since   time.Time
	told    map[noticed]bool
	leftOut int
}

type noticed struct {
	of  ruleSet
	who Client
	op  Operation
	on  Resource
}

// isNew tells whether a denial is to be told of, and how many others were not since that happened the last time.
func (n *notices) isNew(what noticed, now time.Time) (leftOut int, ok bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if age := now.Sub(n.since); n.told == nil || age >= noticeEvery || age < 0 {
		n.since, n.told = now, make(map[noticed]bool)
	}
	if n.told[what] {
		return 0, false
	}
	if len(n.told) >= mostNotices {
		n.leftOut++
		return 0, false
	}
	what.on.Name = strings.Clone(what.on.Name) // which may be part of a request
	n.told[what] = true
	leftOut, n.leftOut = n.leftOut, 0
	return leftOut, true
}

func (l *Live) notice(x *Index, of ruleSet, who Client, op Operation, on Resource) {
	l.tell(noticed{of, who, op, on}, func() string { return x.Explain(who, op, on).Text })
}

func (l *Live) noticeAny(of ruleSet, who Client, op Operation, on ResourceType) {
	l.tell(noticed{of, who, op, Resource{Type: on}}, func() string {
		return fmt.Sprintf("%s from %s may not %s on any resource of type %s", who.Principal, who.Host, op, on)
	})
}

func (l *Live) tell(what noticed, why func() string) {
	l.metrics.denied.WithLabelValues(string(what.of), nameOf(typeNames, what.on.Type, "other"), nameOf(operationNames, what.op, "other")).Inc()
	leftOut, ok := l.notices.isNew(what, l.opts.Now())
	if !ok {
		return
	}
	l.opts.Logger.Warn("access rules would deny what is allowed", "rules", string(what.of), "principal", what.who.Principal, "host", what.who.Host,
		"operation", what.op.String(), "resource", what.on.Type.String()+":"+brief(what.on.Name), "why", cut(why(), 500), "left_out", leftOut)
}
