package auth

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/runnel-io/runnel/metastore"
)

// lookup finds the credentials of users. For those who have none it makes some up which no password fits, so that peers cannot
// tell who exists: the same ones each time and from every broker, and looking like those of the others.
type lookup struct {
	users Users
	key   []byte // while the log has none

	mu    sync.Mutex
	of    *metastore.ConfigSet // what usual was made of
	usual map[Mechanism][]usualForm
}

// form is how credentials look from outside: salt is its bytes, or drawnSalt.
type form struct{ iterations, salt int }

// drawnSalt stands for salts as Kafka's tools make them: numbers of 130 bits in base 36, as text.
const drawnSalt = 0

const (
	drawnBits    = 130
	leastDrawn   = 20 // digits; shorter ones do not happen
	mostDrawn    = 26
	drawnDigits  = "0123456789abcdefghijklmnopqrstuvwxyz"
	mostForms    = 16 // that are told apart: the most frequent ones
	unknownKey   = "key-of-unknown-users"
	unknownBytes = 32
)

// usualForm is a form, and how many credentials have it.
type usualForm struct {
	form
	users int
}

// UnknownUsers is where the commit log has the key with which credentials of users that do not exist are made up: beside the
// credentials, under a name that no user has. Without one each broker has its own, and who asks two of them, or one before and
// after it was started anew, sees which users change their salts.
func UnknownUsers() metastore.ConfigResource {
	return metastore.ConfigResource{Kind: metastore.Credentials, Name: ""}
}

// NewUnknownUsers is a value of UnknownUsers.
func NewUnknownUsers() map[string]string {
	key := make([]byte, unknownBytes)
	_, _ = rand.Read(key) // never fails
	return map[string]string{unknownKey: base64.StdEncoding.EncodeToString(key)}
}

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
	key := l.keyInForce()
	f, size := l.formFor(m, key, user), m.hasher()().Size()
	c := Credential{
		Iterations: f.iterations,
		StoredKey:  drawn(key, size, "stored key", string(m), user),
		ServerKey:  drawn(key, size, "server key", string(m), user),
	}
	if f.salt == drawnSalt {
		const spare = (drawnBits+7)/8*8 - drawnBits
		number := new(big.Int).SetBytes(drawn(key, (drawnBits+7)/8, "salt", string(m), user))
		c.Salt = []byte(number.Rsh(number, spare).Text(len(drawnDigits)))
	} else {
		c.Salt = drawn(key, f.salt, "salt", string(m), user)
	}
	return c
}

// keyInForce is that of the log, which all brokers have.
func (l *lookup) keyInForce() []byte {
	text := l.users.ConfigsOf(metastore.Credentials).On(UnknownUsers().Name)[unknownKey]
	if key, err := base64.StdEncoding.DecodeString(text); err == nil && len(key) >= unknownBytes {
		return key
	}
	return l.key
}

// drawn returns n bytes that look random and follow from the key and the words.
func drawn(key []byte, n int, words ...string) []byte {
	text, all := strings.Join(words, "\x00"), []byte(nil)
	for block := byte(0); len(all) < n; block++ {
		all = append(all, mac(sha256.New, key, string(block), text)...)
	}
	return all[:n]
}

// formFor is the form of credentials that are made up for a user: each as often as users have it, since otherwise all with
// another than most were known to exist. It is weighted rendezvous: a form that gains users takes names over and moves no
// others.
func (l *lookup) formFor(m Mechanism, key []byte, user string) form {
	best, most := form{}, math.Inf(-1)
	for _, f := range l.usualForms(m) {
		random := binary.BigEndian.Uint64(drawn(key, 8, "form", string(m), strconv.Itoa(f.iterations), strconv.Itoa(f.salt), user))
		score := -float64(f.users) / math.Log((float64(random>>11)+0.5)/(1<<53))
		if score > most {
			best, most = f.form, score
		}
	}
	return best
}

func (l *lookup) usualForms(m Mechanism) []usualForm {
	set := l.users.ConfigsOf(metastore.Credentials)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.usual == nil || l.of != set {
		l.of, l.usual = set, usualForms(set)
	}
	return l.usual[m]
}

func usualForms(set *metastore.ConfigSet) map[Mechanism][]usualForm {
	usual := make(map[Mechanism][]usualForm)
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
	encoded, ok := strings.CutPrefix(rest, "salt=")
	encoded, _, _ = strings.Cut(encoded, ",")
	salt, wrong := base64.StdEncoding.DecodeString(encoded)
	f := form{iterations, len(salt)}
	if n := len(salt); n >= leastDrawn && n <= mostDrawn && len(bytes.Trim(salt, drawnDigits)) == 0 {
		f.salt = drawnSalt
	}
	return f, err == nil && ok && wrong == nil && len(salt) > 0 && len(salt) <= maxSalt
}

// mostOf are the forms that there are most often, in an order that all brokers have.
func mostOf(counts map[form]int) []usualForm {
	usual := []usualForm{}
	for f, n := range counts {
		usual = append(usual, usualForm{f, n})
	}
	if len(usual) == 0 {
		return append(usual, usualForm{form{DefaultIterations, newSaltBytes}, 1})
	}
	slices.SortFunc(usual, func(a, b usualForm) int {
		return cmp.Or(b.users-a.users, a.iterations-b.iterations, a.salt-b.salt)
	})
	return usual[:min(len(usual), mostForms)]
}
