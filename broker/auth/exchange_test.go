package auth

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/sasl"
	fplain "github.com/twmb/franz-go/pkg/sasl/plain"
	fscram "github.com/twmb/franz-go/pkg/sasl/scram"
	xscram "github.com/xdg-go/scram"

	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/metastore/memory"
)

// people is a commit log with credentials in it.
type people struct{ *metastore.Replica }

func newPeople(t testing.TB) people {
	t.Helper()
	store := memory.New(memory.Options{})
	t.Cleanup(func() { _ = store.Close() })
	r := metastore.NewReplica(store, metastore.ReplicaOptions{RefreshPause: -1})
	if err := r.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	return people{r}
}

// set gives a user a password for mechanisms of SCRAM.
func (p people) set(t testing.TB, user, password string, mechanisms ...Mechanism) {
	t.Helper()
	for _, m := range mechanisms {
		c, err := NewCredential(m, password, DefaultIterations)
		if err != nil {
			t.Fatal(err)
		}
		p.put(t, user, m, c)
	}
}

func (p people) put(t testing.TB, user string, m Mechanism, c Credential) {
	t.Helper()
	p.alter(t, metastore.ConfigChange{
		ConfigResource: metastore.ConfigResource{Kind: metastore.Credentials, Name: user}, Set: map[string]string{string(m): c.Encode()},
	})
}

func (p people) alter(t testing.TB, c metastore.ConfigChange) {
	t.Helper()
	if err := p.AlterConfigs(t.Context(), []metastore.ConfigChange{c}); err != nil {
		t.Fatal(err)
	}
}

func mechanisms(t testing.TB, users Users, enabled ...Mechanism) *Mechanisms {
	t.Helper()
	m, err := New(users, Options{Enabled: enabled})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func begin(t testing.TB, m *Mechanisms, name Mechanism) Exchange {
	t.Helper()
	e, err := m.Start(string(name))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// login lets a client of franz-go's have an exchange.
func login(ctx context.Context, m *Mechanisms, client sasl.Mechanism) (Identity, error) {
	e, err := m.Start(client.Name())
	if err != nil {
		return Identity{}, err
	}
	session, token, err := client.Authenticate(ctx, "broker")
	if err != nil {
		return Identity{}, err
	}
	for range 5 {
		reply, done, err := e.Step(ctx, token)
		if err != nil {
			return e.Identity(), err
		}
		clientDone, next, err := session.Challenge(reply)
		if err != nil {
			return Identity{}, fmt.Errorf("client: %w", err)
		}
		if done {
			if !clientDone {
				return Identity{}, errors.New("the client wants to go on")
			}
			return e.Identity(), nil
		}
		token = next
	}
	return Identity{}, errors.New("the exchange does not end")
}

func client(m Mechanism, user, password string) sasl.Mechanism {
	switch m {
	case Plain:
		return fplain.Auth{User: user, Pass: password}.AsMechanism()
	case ScramSHA256:
		return fscram.Auth{User: user, Pass: password}.AsSha256Mechanism()
	default:
		return fscram.Auth{User: user, Pass: password}.AsSha512Mechanism()
	}
}

func TestClientsLogIn(t *testing.T) {
	users := newPeople(t)
	users.set(t, "alice", "a secret", ScramSHA256, ScramSHA512)
	users.set(t, "a=b,c", "päss,wörd=", ScramSHA256, ScramSHA512)
	users.set(t, "one", "256", ScramSHA256)
	users.set(t, "other", "512", ScramSHA512)
	users.set(t, "two", "first", ScramSHA256)
	users.set(t, "two", "second", ScramSHA512)
	all := mechanisms(t, users, ScramSHA256, ScramSHA512, Plain)
	for _, test := range []struct {
		user, password string
		by             []Mechanism // that let the user in
	}{
		{"alice", "a secret", []Mechanism{ScramSHA256, ScramSHA512, Plain}},
		{"a=b,c", "päss,wörd=", []Mechanism{ScramSHA256, ScramSHA512, Plain}},
		{"alice", "a secre", nil},
		{"Alice", "a secret", nil},
		{"nobody", "a secret", nil},
		{"one", "256", []Mechanism{ScramSHA256, Plain}},
		{"other", "512", []Mechanism{ScramSHA512, Plain}},
		{"two", "first", []Mechanism{ScramSHA256, Plain}},
		{"two", "second", []Mechanism{ScramSHA512, Plain}},
		{"two", "third", nil},
		{"tab\tbed", "x", nil},
		{strings.Repeat("n", 256), "x", nil},
	} {
		for _, m := range []Mechanism{ScramSHA256, ScramSHA512, Plain} {
			want := Identity{}
			for _, by := range test.by {
				if by == m {
					want = Identity{Principal: "User:" + test.user, Mechanism: m}
				}
			}
			got, err := login(t.Context(), all, client(m, test.user, test.password))
			refused, isRefused := errors.AsType[*Refused](err)
			if got != want || (err == nil) != (want.Principal != "") || err != nil && !isRefused {
				t.Errorf("%s with %q by %s: %+v, %v", test.user, test.password, m, got, err)
			}
			if isRefused && strings.Contains(refused.Error()+refused.Text, test.password) && len(test.password) > 1 {
				t.Errorf("the password is in %q", err)
			}
		}
	}
}

func TestOnlyEnabledMechanismsBegin(t *testing.T) {
	m := mechanisms(t, newPeople(t), ScramSHA512)
	for _, name := range []string{"SCRAM-SHA-256", "PLAIN", "GSSAPI", "", "scram-sha-512"} {
		if _, err := m.Start(name); !errors.Is(err, ErrUnsupported) {
			t.Errorf("%q: %v", name, err)
		}
	}
	if _, err := New(newPeople(t), Options{Enabled: []Mechanism{"GSSAPI"}}); !errors.Is(err, ErrUnsupported) {
		t.Error(err)
	}
}

// TestUnknownUsersLookLikeOthers: what a peer sees before it proves anything must not tell whether the user exists, and
// neither must its failure.
func TestUnknownUsersLookLikeOthers(t *testing.T) {
	users := newPeople(t)
	for _, name := range []string{"a", "b", "c"} { // as Kafka's tools make them: other salts than ours, and more iterations
		c, err := SaltedCredential(ScramSHA256, make([]byte, 32), []byte("26 bytes of a salt, so odd"), 8192)
		if err != nil {
			t.Fatal(err)
		}
		users.put(t, name, ScramSHA256, c)
	}
	users.set(t, "default", "x", ScramSHA256)
	m := mechanisms(t, users)
	first := func(user string) (salt, iterations string, last error) {
		e := begin(t, m, ScramSHA256)
		reply, done, err := e.Step(t.Context(), []byte("n,,n="+user+",r=abcdef"))
		if err != nil || done {
			t.Fatal(done, err)
		}
		fields := strings.Split(string(reply), ",")
		_, _, last = e.Step(t.Context(), []byte("c=biws,"+fields[0]+",p="+base64.StdEncoding.EncodeToString(make([]byte, 32))))
		return fields[1], fields[2], last
	}
	salt, iterations, wrong := first("a")
	again, _, _ := first("nobody")
	unknown, made, wrongToo := first("nobody")
	other, _, _ := first("no-one")
	ours, theirs := "i=4096", iterations // of those who have credentials
	if made == theirs && len(unknown) != len(salt) || made != theirs && made != ours {
		t.Errorf("%s %s is unlike %s %s", unknown, made, salt, iterations)
	}
	if unknown != again || unknown == other {
		t.Errorf("salts of users that do not exist: %s, %s and of another %s", unknown, again, other)
	}
	a, b := new(Refused), new(Refused)
	if !errors.As(wrong, &a) || !errors.As(wrongToo, &b) || a.Text != b.Text || a.Cause != b.Cause {
		t.Errorf("%v is unlike %v", wrong, wrongToo)
	}
	same, err := New(users, Options{Key: []byte("k")})
	if err != nil {
		t.Fatal(err)
	}
	alike, err := New(users, Options{Key: []byte("k")})
	if err != nil {
		t.Fatal(err)
	}
	if x, y := same.lookup.madeUp(ScramSHA256, "u"), alike.lookup.madeUp(ScramSHA256, "u"); x.Encode() != y.Encode() {
		t.Error("two brokers with one key make up different credentials")
	}
}

// TestUnknownUsersHaveTheSaltsOfTools: who sees salts, which are text if Kafka's tools made them, must not tell by that.
func TestUnknownUsersHaveTheSaltsOfTools(t *testing.T) {
	users := newPeople(t)
	put := func(name, salt string, iterations int) {
		c, err := SaltedCredential(ScramSHA256, make([]byte, 32), []byte(salt), iterations)
		if err != nil {
			t.Fatal(err)
		}
		users.put(t, name, ScramSHA256, c)
	}
	for i, salt := range []string{"1p8xw2hgtq0bbvvnq6nmtz1kd4", "cqs3h9m5yd0ikx7v2efz8bnw4", "1c0r3d9u4jk2m5v6x7z8a9b0qe"} {
		put(fmt.Sprint("tool", i), salt, 4096)
	}
	l := newLookup(users, []byte("k"))
	lengths := map[int]int{}
	for i := range 1000 {
		salt := string(l.madeUp(ScramSHA256, fmt.Sprint("nobody", i)).Salt)
		lengths[len(salt)]++
		if strings.Trim(salt, drawnDigits) != "" || len(salt) == 26 && salt[0] != '1' {
			t.Fatalf("%q is not as Kafka's tools draw it", salt)
		}
	}
	if lengths[25] < 400 || lengths[26] < 300 {
		t.Errorf("lengths %v, numbers of 130 bits have 25 digits or 26", lengths)
	}
	put("ours", "\x00\x01\x02\x03\x04\x05\x06\x07\x00\x01\x02\x03\x04\x05\x06\x07\x00\x01\x02\x03\x04\x05\x06\x07", 8192)
	before, l2 := l, newLookup(users, []byte("k"))
	like := 0
	for i := range 1000 {
		name := fmt.Sprint("nobody", i)
		c := l2.madeUp(ScramSHA256, name)
		if c.Iterations == 8192 {
			like++
			if len(c.Salt) != 24 {
				t.Fatalf("%d iterations and %q", c.Iterations, c.Salt)
			}
		}
		if again := before.madeUp(ScramSHA256, name); again.Encode() != c.Encode() {
			t.Fatal("another credential at another time")
		}
	}
	if like < 150 || like > 350 {
		t.Errorf("%d of 1000 look like one of four users", like)
	}
}

// TestTheLogHasTheKeyOfUnknownUsers: brokers with different keys of their own answer alike.
func TestTheLogHasTheKeyOfUnknownUsers(t *testing.T) {
	users := newPeople(t)
	one, other := newLookup(users, []byte("k")), newLookup(users, []byte("l"))
	same := func() bool {
		return one.madeUp(ScramSHA256, "u").Encode() == other.madeUp(ScramSHA256, "u").Encode()
	}
	if same() {
		t.Error("keys make no difference")
	}
	users.alter(t, metastore.ConfigChange{ConfigResource: UnknownUsers(), Set: NewUnknownUsers()})
	if !same() {
		t.Error("brokers of one log answer differently")
	}
}

// TestScramOfTheRFC is the example of RFC 7677, section 3, which has a nonce of the server's.
func TestScramOfTheRFC(t *testing.T) {
	salt, err := base64.StdEncoding.DecodeString("W22ZaJ0SNY7soEsUEjb6gQ==")
	if err != nil {
		t.Fatal(err)
	}
	users := newPeople(t)
	derived, err := xscram.SHA256.NewClient("user", "pencil", "")
	if err != nil {
		t.Fatal(err)
	}
	stored, err := derived.GetStoredCredentialsWithError(xscram.KeyFactors{Salt: string(salt), Iters: 4096})
	if err != nil {
		t.Fatal(err)
	}
	users.put(t, "user", ScramSHA256, Credential{Iterations: 4096, Salt: salt, StoredKey: stored.StoredKey, ServerKey: stored.ServerKey})
	exchange := begin(t, mechanisms(t, users), ScramSHA256).(*saslScram)
	server, err := xscram.SHA256.NewServer(func(user string) (xscram.StoredCredentials, error) {
		c, _ := mechanisms(t, users).lookup.credential(ScramSHA256, user)
		return xscram.StoredCredentials{KeyFactors: xscram.KeyFactors{Salt: string(c.Salt), Iters: c.Iterations}, StoredKey: c.StoredKey, ServerKey: c.ServerKey}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	exchange.conversation = server.WithNonceGenerator(func() string { return "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0" }).NewConversation()
	for _, step := range []struct{ sent, want string }{
		{"n,,n=user,r=rOprNGfwEbeRWgbNEkqO", "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"},
		{"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=", "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="},
	} {
		reply, _, err := exchange.Step(t.Context(), []byte(step.sent))
		if err != nil || string(reply) != step.want {
			t.Fatalf("%q, %v, want %q", reply, err, step.want)
		}
	}
	if got := exchange.Identity(); got.Principal != "User:user" {
		t.Errorf("%+v", got)
	}
	replayed := "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
	if _, done, err := exchange.Step(t.Context(), []byte(replayed)); err == nil || done {
		t.Error("the last message is taken twice")
	}
	other := begin(t, mechanisms(t, users), ScramSHA256)
	if _, _, err := other.Step(t.Context(), []byte("n,,n=user,r=rOprNGfwEbeRWgbNEkqO")); err != nil {
		t.Fatal(err)
	}
	if _, done, err := other.Step(t.Context(), []byte(replayed)); err == nil || done {
		t.Error("the proof of one exchange is taken in another")
	}
}

func TestTokensThatAreRefused(t *testing.T) {
	users := newPeople(t)
	users.set(t, "u", "p", ScramSHA256)
	m := mechanisms(t, users, ScramSHA256, Plain)
	for _, test := range []struct {
		name  string
		by    Mechanism
		token string
	}{
		{"nothing", ScramSHA256, ""},
		{"channel binding", ScramSHA256, "p=tls-unique,,n=u,r=x"},
		{"a mandatory extension", ScramSHA256, "n,,m=x,n=u,r=x"},
		{"no name", ScramSHA256, "n,,n=,r=x"},
		{"no nonce", ScramSHA256, "n,,n=u,r="},
		{"a nonce with a space", ScramSHA256, "n,,n=u,r=a b"},
		{"another's rights", ScramSHA256, "n,a=root,n=u,r=x"},
		{"a delegation token", ScramSHA256, "n,,n=u,r=x,tokenauth=true"},
		{"a wrong escape", ScramSHA256, "n,,n=u=2D,r=x"},
		{"invalid UTF-8", ScramSHA256, "n,,n=\xff,r=x"},
		{"too long", ScramSHA256, "n,,n=u,r=" + strings.Repeat("x", maxScramToken)},
		{"nothing", Plain, ""},
		{"two parts", Plain, "u\x00p"},
		{"four parts", Plain, "\x00u\x00p\x00"},
		{"no name", Plain, "\x00\x00p"},
		{"no password", Plain, "\x00u\x00"},
		{"another's rights", Plain, "root\x00u\x00p"},
		{"a token of PLAIN", ScramSHA256, "\x00u\x00hush,a,b,r=c"},
		{"too long", Plain, "\x00u\x00" + strings.Repeat("p", maxPlainToken)},
	} {
		e := begin(t, m, test.by)
		_, done, err := e.Step(t.Context(), []byte(test.token))
		if _, ok := errors.AsType[*Refused](err); !ok || done || e.Identity() != (Identity{}) {
			t.Errorf("%s by %s: %v, %v, %+v", test.name, test.by, done, err, e.Identity())
		}
		if err != nil && strings.Contains(err.Error(), "hush") {
			t.Errorf("a password is told: %v", err)
		}
		if _, done, err = e.Step(t.Context(), []byte("\x00u\x00p")); err == nil || done {
			t.Errorf("%s by %s: the exchange goes on", test.name, test.by)
		}
	}
	if id, err := login(t.Context(), m, fplain.Auth{Zid: "u", User: "u", Pass: "p"}.AsMechanism()); err != nil || id.Principal != "User:u" {
		t.Errorf("%+v, %v", id, err)
	}
}
