package auth

import (
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"sync"

	"github.com/runnel-io/runnel/metastore"
)

// lookup finds the credentials of users. For those who have none it makes some up which no password fits, so that peers cannot
// tell who exists: the same ones each time, and looking like those of the others.
type lookup struct {
	users Users
	key   []byte

	mu    sync.Mutex
	of    *metastore.ConfigSet // what usual was made of
	usual map[Mechanism]form
}

// form is how credentials look from outside.
type form struct{ iterations, salt int }

func newLookup(users Users, key []byte) *lookup { return &lookup{users: users, key: key} }

// credential returns the user's, or one that was made up.
func (l *lookup) credential(m Mechanism, user string) (c Credential, exists bool) {
	if c, _, exists = l.stored(m, user); exists {
		return c, true
	}
	return l.madeUp(m, user), false
}

// stored returns the credential of a user and how the log holds it. One that cannot be read is none.
func (l *lookup) stored(m Mechanism, user string) (c Credential, text string, ok bool) {
	text, ok = l.users.ConfigsOf(metastore.Credentials).On(user)[string(m)]
	if !ok {
		return Credential{}, "", false
	}
	c, err := ParseCredential(m, text)
	return c, text, err == nil
}

func (l *lookup) madeUp(m Mechanism, user string) Credential {
	f, size := l.usualForm(m), m.hasher()().Size()
	return Credential{
		Iterations: f.iterations,
		Salt:       l.drawn(f.salt, "salt", string(m), user),
		StoredKey:  l.drawn(size, "stored key", string(m), user),
		ServerKey:  l.drawn(size, "server key", string(m), user),
	}
}

// drawn returns n bytes that look random and follow from the key and the words.
func (l *lookup) drawn(n int, words ...string) []byte {
	text, all := strings.Join(words, "\x00"), []byte(nil)
	for block := byte(0); len(all) < n; block++ {
		all = append(all, mac(sha256.New, l.key, string(block), text)...)
	}
	return all[:n]
}

// usualForm is that of most credentials of the mechanism.
func (l *lookup) usualForm(m Mechanism) form {
	set := l.users.ConfigsOf(metastore.Credentials)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.usual == nil || l.of != set {
		l.of, l.usual = set, usualForms(set)
	}
	return l.usual[m]
}

func usualForms(set *metastore.ConfigSet) map[Mechanism]form {
	usual := make(map[Mechanism]form)
	for _, m := range []Mechanism{ScramSHA256, ScramSHA512} {
		counts := make(map[form]int)
		for _, credentials := range set.All() {
			if f, ok := formOf(credentials[string(m)]); ok {
				counts[f]++
			}
		}
		usual[m] = mostOf(counts)
	}
	return usual
}

// formOf looks at the beginning of an encoded credential alone: there may be very many.
func formOf(text string) (form, bool) {
	first, rest, _ := strings.Cut(text, ",")
	iterations, err := parseIterations(first)
	salt, ok := strings.CutPrefix(rest, "salt=")
	salt, _, _ = strings.Cut(salt, ",")
	n := base64.StdEncoding.DecodedLen(len(salt)) - strings.Count(salt, "=")
	return form{iterations, n}, err == nil && ok && n > 0 && n <= maxSalt
}

// mostOf is the form that is there most often; of several, the least, so that all brokers have the same.
func mostOf(counts map[form]int) form {
	best, most := form{DefaultIterations, newSaltBytes}, 0
	for f, n := range counts {
		less := f.iterations < best.iterations || f.iterations == best.iterations && f.salt < best.salt
		if n > most || n == most && less {
			best, most = f, n
		}
	}
	return best
}
