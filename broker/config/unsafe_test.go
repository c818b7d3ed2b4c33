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
	sasl := map[string]string{"protocol": "SASL_PLAINTEXT", "sasl.mechanisms": "PLAIN,SCRAM-SHA-256"}
	oauth := map[string]string{
		"protocol": "SASL_SSL", "tls.certificate": "c", "tls.key": "k", "sasl.mechanisms": "OAUTHBEARER",
		"sasl.oauthbearer.expected_issuer": "https://x", "sasl.oauthbearer.expected_audience": "a",
	}
	rules := map[string]string{"authorizer": "on"}
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
		{"PLAIN in clear", sasl, "plain_without_tls"},
		{"PLAIN on loopback", with(sasl, "listen", "127.0.0.1:9"), ""},
		{"PLAIN for nobody", with(sasl, "protocol", "PLAINTEXT"), ""},
		{"SCRAM in clear", with(sasl, "sasl.mechanisms", "SCRAM-SHA-256"), ""},
		{"OAUTHBEARER in clear", with(oauth, "protocol", "SASL_PLAINTEXT"), "oauthbearer_without_tls"},
		{"OAUTHBEARER with TLS", oauth, ""},
		{"an issuer in clear", with(oauth, "sasl.oauthbearer.expected_issuer", "http://x"), "oauthbearer_issuer_without_tls"},
		{"keys in clear", with(oauth, "sasl.oauthbearer.jwks_endpoint_url", "http://10.0.0.1/keys"), "oauthbearer_issuer_without_tls"},
		{"an issuer whose keys come by TLS", with(with(oauth, "sasl.oauthbearer.expected_issuer", "http://x"), "sasl.oauthbearer.jwks_endpoint_url", "https://x"), ""},
		{"an issuer on loopback", with(oauth, "sasl.oauthbearer.expected_issuer", "http://[::1]:8"), ""},
		{"rules, and nobody is authenticated", rules, ""},
		{"everybody is a super user", with(rules, "cluster.super.users", "User:a; User:ANONYMOUS"), "anonymous_super_user"},
		{"everybody on loopback is a super user", with(with(rules, "cluster.super.users", "User:ANONYMOUS"), "listen", "localhost:9"), ""},
		{"everybody would be a super user", map[string]string{"cluster.super.users": "User:ANONYMOUS"}, ""},
		{"nobody is the super user", with(with(rules, "cluster.super.users", "User:ANONYMOUS"), "protocol", "SASL_PLAINTEXT"), ""},
		{"everybody may do what no rule is about", with(rules, "cluster.allow.everyone.if.no.acl.found", "true"), "everyone_without_authentication"},
		{"everybody with a name may do so", with(with(rules, "cluster.allow.everyone.if.no.acl.found", "true"), "protocol", "SASL_PLAINTEXT"), ""},
		{"and those who show no certificate", with(with(oauth, "protocol", "SSL"), "cluster.allow.everyone.if.no.acl.found", "true"), ""},
		{"and those who show none beside rules", map[string]string{
			"authorizer": "on", "protocol": "SSL", "tls.certificate": "c", "tls.key": "k", "tls.client_authority": "a", "tls.client_auth": "requested",
			"cluster.allow.everyone.if.no.acl.found": "true",
		}, "everyone_without_authentication"},
		{"those who show one beside rules", map[string]string{
			"authorizer": "on", "protocol": "SSL", "tls.certificate": "c", "tls.key": "k", "tls.client_authority": "a", "tls.client_auth": "required",
			"cluster.allow.everyone.if.no.acl.found": "true",
		}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			flags := inMemory()
			var set []string
			for name, value := range tt.flags {
				if setting, ok := strings.CutPrefix(name, "cluster."); ok {
					set = append(set, setting+"="+value)
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
	if err == nil || !strings.Contains(err.Error(), `f.yaml:4: invalid value "everything" for allow_unsafe: "everything" is none of admin_token_without_tls, `) {
		t.Errorf("%v", err)
	}
}
