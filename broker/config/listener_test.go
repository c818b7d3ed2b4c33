package config

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

const withListeners = `version: 1
metastore: {url: memory://}
object_store: {url: memory://}
tls: {certificate: c.pem, key: k.pem, client_authority: ca.pem}
listeners:
  public:
    listen: 0.0.0.0:9093
    protocol: SASL_SSL
    advertise: b1.example.com:19093
    zone: a
  in-side: {listen: "10.0.0.4:9092", protocol: SSL, client_auth: required}
`

func TestListenersComeFromFileEnvironmentAndFlags(t *testing.T) {
	l := load(t, Sources{
		File: []byte(withListeners), Env: []string{"RUNNEL_LISTENERS_LOCAL_ZONE_LISTEN=127.0.0.1:9094",
			"RUNNEL_LISTENERS_LOCAL_ZONE_PROTOCOL=PLAINTEXT", "RUNNEL_LISTENERS_IN_SIDE_ZONE=b"},
		Listener: []string{"PUBLIC.listen=0.0.0.0:9095", "public.max_connections=7"},
	})
	want := []Listener{
		{Name: "PUBLIC", Listen: "0.0.0.0:9095", Advertise: "b1.example.com:19093", Protocol: SASLSSL, Zone: "a", ClientAuth: "none", MaxConnections: 7},
		{Name: "IN-SIDE", Listen: "10.0.0.4:9092", Protocol: SSL, Zone: "b", ClientAuth: "required"},
		{Name: "LOCAL_ZONE", Listen: "127.0.0.1:9094", Protocol: Plaintext, ClientAuth: "none"},
	}
	if !slices.Equal(l.Config.Listeners, want) {
		t.Errorf("got  %+v\nwant %+v", l.Config.Listeners, want)
	}
	for key, want := range map[string][2]string{
		"listeners.public.listen":       {"0.0.0.0:9095", "--listener"},
		"listeners.public.zone":         {"a", "runnel.yaml:10"},
		"listeners.in-side.zone":        {"b", "RUNNEL_LISTENERS_IN_SIDE_ZONE"},
		"listeners.in-side.client_auth": {"required", "runnel.yaml:11"},
		"listeners.in-side.advertise":   {"", "default"},
	} {
		if text, from := origin(t, l, key); text != want[0] || from != want[1] {
			t.Errorf("%s = %s from %s, want %s", key, text, from, want)
		}
	}
	for _, effective := range []bool{true, false} {
		var b strings.Builder
		if err := l.WriteYAML(&b, effective); err != nil {
			t.Fatal(err)
		}
		again := load(t, Sources{FileName: "again", File: []byte(b.String())})
		if !slices.Equal(again.Config.Listeners, want) {
			t.Errorf("printed and read again: %+v\n%s", again.Config.Listeners, b.String())
		}
	}
}

func TestTheOnlyListenerNeedsNoName(t *testing.T) {
	for _, tt := range []struct {
		flags map[string]string
		want  Listener
	}{
		{nil, Listener{Name: "PLAINTEXT", Listen: "0.0.0.0:9092", Protocol: Plaintext, ClientAuth: "none"}},
		{map[string]string{"listen": ":1", "advertise": "h:2"}, Listener{Name: "PLAINTEXT", Listen: ":1", Advertise: "h:2", Protocol: Plaintext, ClientAuth: "none"}},
		{map[string]string{"protocol": "SASL_PLAINTEXT"}, Listener{Name: "SASL_PLAINTEXT", Listen: "0.0.0.0:9092", Protocol: SASLPlaintext, ClientAuth: "none"}},
		{map[string]string{"protocol": "SSL", "tls.certificate": "c", "tls.key": "k", "tls.client_auth": "requested", "tls.client_authority": "a"},
			Listener{Name: "SSL", Listen: "0.0.0.0:9092", Protocol: SSL, ClientAuth: "requested"}},
	} {
		flags := inMemory()
		maps.Copy(flags, tt.flags)
		if got := load(t, Sources{Flags: flags}).Config.Listeners; !slices.Equal(got, []Listener{tt.want}) {
			t.Errorf("%v: %+v", tt.flags, got)
		}
	}
}

func TestListenersThatCannotBe(t *testing.T) {
	const plain = `{listen: ":9092", protocol: PLAINTEXT}`
	for _, tt := range []struct {
		name, file string
		env, flags []string
		want       string
	}{
		{"one address", "listeners:\n  a: " + plain + "\n  b: {listen: '127.0.0.1:9092', protocol: PLAINTEXT}\n", nil, nil,
			"f.yaml:6: listeners A and B have one address: :9092 and 127.0.0.1:9092"},
		{"upper and lower case", "listeners:\n  a: " + plain + "\n  A: " + plain + "\n", nil, nil, "f.yaml:6: listeners.A stands here and in line 5"},
		{"lower and upper case", "listeners:\n  A: " + plain + "\n  a: " + plain + "\n", nil, nil, "f.yaml:6: listener a stands here and in line 5"},
		{"two ways", "listen: ':1'\nlisteners: {a: " + plain + "}\n", nil, nil, "f.yaml:4: listen is that of the only listener"},
		{"name", "listeners: {'a b': " + plain + "}\n", nil, nil, `f.yaml:4: "a b" cannot be the name of a listener`},
		{"long name", "listeners: {" + strings.Repeat("a", 101) + ": " + plain + "}\n", nil, nil, `cannot be the name of a listener`},
		{"key", "listeners: {a: {listne: ':1'}}\n", nil, nil, `f.yaml:4: unknown key "listne" of listener a: there are listen, advertise`},
		{"no listen", "listeners: {a: {protocol: PLAINTEXT}}\n", nil, nil,
			"listeners.a.listen is required: set it in the file, as RUNNEL_LISTENERS_A_LISTEN or as --listener a.listen="},
		{"no protocol", "listeners: {a: {listen: ':1'}}\n", nil, nil, "listeners.a.protocol is required"},
		{"nothing", "listeners: {a: }\n", nil, nil, "listeners.a.listen is required"},
		{"protocol", "listeners: {a: {listen: ':1', protocol: TLS}}\n", nil, nil,
			`f.yaml:4: invalid value "TLS" for listeners.a.protocol: must be one of PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL`},
		{"text", "listeners: ':9092'\n", nil, nil, "f.yaml:4: listeners must be a mapping"},
		{"text of one", "listeners: {a: ':9092'}\n", nil, nil, "f.yaml:4: listeners.a must be a mapping"},
		{"no certificate", "listeners: {a: {listen: ':1', protocol: SSL}}\n", nil, nil,
			"f.yaml:4: listener A has protocol SSL, which needs tls.certificate and tls.key"},
		{"no certificate for one", "protocol: SASL_SSL\n", nil, nil, "f.yaml:4: listener SASL_SSL has protocol SASL_SSL, which needs"},
		{"half a certificate", "tls: {certificate: c}\n", nil, nil, "tls.certificate and tls.key must be set together"},
		{"no authority", "tls: {certificate: c, key: k}\nlisteners: {a: {listen: ':1', protocol: SSL, client_auth: requested}}\n", nil, nil,
			"f.yaml:5: certificates are requested of the clients of listener A, which needs tls.client_authority"},
		{"certificates without TLS", "listeners: {a: {listen: ':1', protocol: PLAINTEXT, client_auth: required}}\n", nil, nil,
			"f.yaml:4: client_auth of listener A needs protocol SSL or SASL_SSL"},
		{"variable", "", []string{"RUNNEL_LISTENERS_A_LISTNE=:1"}, nil, "RUNNEL_LISTENERS_A_LISTNE: unknown variable: that of a listener is RUNNEL_LISTENERS_NAME_"},
		{"variable without a name", "", []string{"RUNNEL_LISTENERS__LISTEN=:1"}, nil, "RUNNEL_LISTENERS__LISTEN: unknown variable"},
		{"flag without a value", "", nil, []string{"a.listen"}, `--listener: "a.listen" is not of the form name.key=value`},
		{"flag without a key", "", nil, []string{"a=:1"}, `--listener: "a" is not of the form name.key`},
		{"flag of a key", "", nil, []string{"a.b=:1"}, `--listener: unknown key "b" of listener a`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file := "version: 1\nmetastore: {url: memory://}\nobject_store: {url: memory://}\n" + tt.file
			_, err := Load(Sources{FileName: "f.yaml", File: []byte(file), Env: tt.env, Listener: tt.flags})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v\nwant %s", err, tt.want)
			}
		})
	}
}

func TestAddressesThatAMachineCannotListenOnBoth(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		same bool
	}{
		{":9092", "127.0.0.1:9092", true}, {"0.0.0.0:9092", "[::]:9092", true}, {"a:1", "A:1", true},
		{"127.0.0.1:9092", "127.0.0.2:9092", false}, {":9092", ":9093", false}, {"127.0.0.1:0", "127.0.0.1:0", false},
	} {
		if got := sameAddress(tt.a, tt.b); got != tt.same {
			t.Errorf("%s and %s: %v", tt.a, tt.b, got)
		}
	}
}
