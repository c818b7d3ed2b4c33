// Package auth finds out who clients are: mechanisms of SASL as exchanges of tokens, which are pure but for looking up users
// and keys, and the credentials of users as the commit log holds them.
package auth

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"time"

	"github.com/runnel-io/runnel/metastore"
)

// Mechanism is a mechanism of SASL by its registered name.
type Mechanism string

// The mechanisms that there are.
const (
	Plain       Mechanism = "PLAIN"
	ScramSHA256 Mechanism = "SCRAM-SHA-256"
	ScramSHA512 Mechanism = "SCRAM-SHA-512"
	OAuthBearer Mechanism = "OAUTHBEARER"
)

// All are the mechanisms that there are, in the order in which clients are told of them.
func All() []Mechanism { return []Mechanism{ScramSHA256, ScramSHA512, Plain, OAuthBearer} }

// ErrUnsupported: the mechanism is not known or not enabled.
var ErrUnsupported = errors.New("unsupported SASL mechanism")

// ErrUnavailable: it could not be found out who the peer is. It may try again.
var ErrUnavailable = errors.New("cannot authenticate at present")

// Refused is the end of an exchange in which the peer did not prove who it is.
type Refused struct {
	Claimed string // who it said it is, "" if that is not known; for records, where it may be anything
	Text    string // for the peer: nothing in it tells which part was wrong. "": whatever is usual for the mechanism
	Cause   string // for the log: why, without secrets
}

func (r *Refused) Error() string { return "authentication refused: " + r.Cause }

// Identity is who a peer has proved to be.
type Identity struct {
	Principal string // "User:alice"
	Mechanism Mechanism
	Expires   time.Time // of what the peer has proved it with; zero: never
}

// Exchange is one attempt of a peer to authenticate. It is for one goroutine at a time.
type Exchange interface {
	// Step takes a token of the peer and returns the answer. Once it is done, or failed, there is no further step.
	// *Refused, ErrUnavailable. token is not kept.
	Step(ctx context.Context, token []byte) (reply []byte, done bool, err error)
	// Identity is who the peer is, once the exchange is done.
	Identity() Identity
}

// Users is where credentials are kept. *metastore.Replica is one.
type Users interface {
	ConfigsOf(kind metastore.ConfigKind) *metastore.ConfigSet
}

// Options of Mechanisms.
type Options struct {
	Enabled []Mechanism   // default: the two of SCRAM
	OAuth   *OAuthOptions // required if OAUTHBEARER is enabled
	// Key is what the salts of users that do not exist are made with while the log has no key for it, see UnknownUsers. Brokers that
	// have the same one give the same answers. Default: a random one.
	Key []byte
	// Derivations is how many passwords are checked at a time; default: the number of processors.
	Derivations int
	Now         func() time.Time // default: time.Now
}

// Mechanisms begins exchanges. All methods may run concurrently.
type Mechanisms struct {
	enabled []Mechanism
	lookup  *lookup
	checker *passwords
	tokens  *tokens // nil: no OAUTHBEARER
}

// New makes the mechanisms of a broker.
func New(users Users, o Options) (*Mechanisms, error) {
	if o.Enabled == nil {
		o.Enabled = []Mechanism{ScramSHA256, ScramSHA512}
	}
	if o.Key == nil {
		o.Key = make([]byte, 32)
		_, _ = rand.Read(o.Key) // never fails
	}
	if o.Derivations == 0 {
		o.Derivations = runtime.GOMAXPROCS(0)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	m := &Mechanisms{lookup: newLookup(users, o.Key)}
	m.checker = newPasswords(m.lookup, o.Derivations)
	for _, known := range All() {
		if slices.Contains(o.Enabled, known) {
			m.enabled = append(m.enabled, known)
		}
	}
	for _, name := range o.Enabled {
		if !slices.Contains(m.enabled, name) {
			return nil, fmt.Errorf("%w: %q", ErrUnsupported, name)
		}
	}
	if slices.Contains(m.enabled, OAuthBearer) {
		var err error
		if m.tokens, err = newTokens(o.OAuth, o.Now); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// Enabled are the mechanisms that peers may use.
func (m *Mechanisms) Enabled() []Mechanism { return m.enabled }

// Start begins an exchange. ErrUnsupported.
func (m *Mechanisms) Start(mechanism string) (Exchange, error) {
	switch name := Mechanism(mechanism); {
	case !slices.Contains(m.enabled, name):
		return nil, ErrUnsupported
	case name == Plain:
		return &plain{checker: m.checker}, nil
	case name == OAuthBearer:
		return &bearer{tokens: m.tokens}, nil
	default:
		return newScram(m.lookup, name)
	}
}
