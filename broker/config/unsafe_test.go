package config

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

// TestDangers has cases for each danger: configurations that have it, and those that are nearly so and have none.
func TestDangers(t *testing.T) {
	const token = "0123456789abcdef"
	tls := map[string]string{"admin.certificate": "c", "admin.key": "k"}
	sasl := map[string]string{"protocol": "SASL_PLAINTEXT", "tls.certificate": "c", "tls.key": "k"}
	oauth := map[string]string{
		"protocol": "SASL_SSL", "tls.certificate": "c", "tls.key": "k", "sasl.mechanisms": "OAUTHBEARER",
		"sasl.oauthbearer.expected_issuer": "https://id.example.com", "sasl.oauthbearer.expected_audience": "kafka",
	}
	rules := map[string]string{"authorizer": "on", "tls.certificate": "c", "tls.key": "k"}
	for _, tt := range []struct {
		name   string
		flags  map[string]string
		danger string // "": none
	}{
		{"as it comes", nil, ""},
		{"token in clear", map[string]string{"admin.token": token}, "admin_token_without_tls"},
		{"token in clear on an address", map[string]string{"admin.token": token, "admin.listen": "10.0.0.1:9"}, "admin_token_without_tls"},
		{"token on loopback", map[string]string{"admin.token": token, "admin.listen": "127.0.0.1:9"}, ""},
		{"token on localhost", map[string]string{"admin.token": token, "admin.listen": "localhost:9"}, ""},
		{"token on loopback of IPv6", map[string]string{"admin.token": token, "admin.listen": "[::1]:9"}, ""},
		{"token without a server", map[string]string{"admin.token": token, "admin.listen": ""}, ""},
		{"token with TLS", with(tls, "admin.token", token), ""},
		{"PLAIN", with(sasl, "sasl.mechanisms", "PLAIN"), "passwords_without_tls"},
		{"PLAIN with TLS", with(with(sasl, "sasl.mechanisms", "PLAIN"), "protocol", "SASL_SSL"), ""},
		{"PLAIN on loopback", with(with(sasl, "sasl.mechanisms", "PLAIN"), "listen", "127.0.0.1:9092"), ""},
		{"PLAIN without SASL", map[string]string{"sasl.mechanisms": "PLAIN"}, ""},
		{"SCRAM", sasl, ""},
		{"tokens", with(oauth, "protocol", "SASL_PLAINTEXT"), "tokens_without_tls"},
		{"tokens with TLS", oauth, ""},
		{"issuer in clear", with(oauth, "sasl.oauthbearer.expected_issuer", "http://id.example.com"), "issuer_without_tls"},
		{"keys in clear", with(oauth, "sasl.oauthbearer.jwks_endpoint_url", "http://id.example.com/keys"), "issuer_without_tls"},
		{"issuer on loopback", with(oauth, "sasl.oauthbearer.expected_issuer", "http://127.0.0.1:8080"), ""},
		{"anonymous super user", with(rules, "super.users", "User:a; User:ANONYMOUS"), "rights_for_anybody"},
		{"rights where there are no rules", with(rules, "allow.everyone.if.no.acl.found", "true"), "rights_for_anybody"},
		{"rules for who authenticates", with(with(rules, "allow.everyone.if.no.acl.found", "true"), "protocol", "SASL_SSL"), ""},
		{"rules on loopback", with(with(rules, "super.users", "User:ANONYMOUS"), "listen", "localhost:9092"), ""},
		{"rules and no rights", rules, ""},
		{"no rules", map[string]string{"super.users": "User:ANONYMOUS"}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			flags, set := inMemory(), []string(nil)
			for name, value := range tt.flags {
				if name == "super.users" || name == "allow.everyone.if.no.acl.found" {
					set = append(set, name+"="+value)
				} else {
					flags[name] = value
				}
			}
			_, err := Load(Sources{Flags: flags, Set: set})
			switch {
			case tt.danger == "" && err != nil:
				t.Errorf("refused: %v", err)
			case tt.danger != "" && (err == nil || !strings.Contains(err.Error(), "allow_unsafe: "+tt.danger)):
				t.Errorf("got %v, want %s", err, tt.danger)
			}
			flags["allow_unsafe"] = strings.Join(dangerNames(), ", ")
			loaded, err := Load(Sources{Flags: flags, Set: set})
			if err != nil || !slices.Equal(loaded.Config.AllowUnsafe, dangerNames()) {
				t.Errorf("allowed: %v", err)
			}
		})
	}
	for _, d := range dangers {
		if strings.Contains(d.name, " ") || d.doc == "" {
			t.Errorf("danger %q is not described", d.name)
		}
	}
}

func with(flags map[string]string, name, value string) map[string]string {
	flags = maps.Clone(flags)
	flags[name] = value
	return flags
}

func TestAllowUnsafeIsAListOfWhatThereIs(t *testing.T) {
	const file = "version: 1\nmetastore: {url: memory://}\nobject_store: {url: memory://}\n"
	l := load(t, Sources{File: []byte(file + "allow_unsafe: [admin_token_without_tls]\nadmin: {token: 0123456789abcdef}\n")})
	if !slices.Equal(l.Config.AllowUnsafe, []string{"admin_token_without_tls"}) {
		t.Errorf("%v", l.Config.AllowUnsafe)
	}
	_, err := Load(Sources{FileName: "f.yaml", File: []byte(file + "allow_unsafe: everything\n")})
	if err == nil || !strings.Contains(err.Error(), `f.yaml:4: invalid value "everything" for allow_unsafe: "everything" is none of admin_token_without_tls`) {
		t.Errorf("%v", err)
	}
}
