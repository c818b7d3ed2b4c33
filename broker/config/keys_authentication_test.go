package config

import (
	"strings"
	"testing"
)

func TestAuthenticationIsConfiguredAsAWhole(t *testing.T) {
	base := map[string]string{"metastore.url": "memory://", "object_store.url": "memory://"}
	for _, test := range []struct{ keys, want string }{
		{"", ""},
		{"sasl.mechanisms=PLAIN,SCRAM-SHA-512", ""},
		{"sasl.mechanisms=PLAIN,GSSAPI", "must be some of"},
		{"sasl.mechanisms=PLAIN,PLAIN", "each once"},
		{"sasl.mechanisms=", "must be some of"},
		{"sasl.mechanisms=OAUTHBEARER", "needs sasl.oauthbearer.expected_issuer"},
		{"sasl.mechanisms=OAUTHBEARER sasl.oauthbearer.expected_issuer=https://x", "expected_audience"},
		{"sasl.mechanisms=OAUTHBEARER sasl.oauthbearer.expected_issuer=https://x sasl.oauthbearer.expected_audience=,", "expected_audience"},
		{"sasl.mechanisms=OAUTHBEARER sasl.oauthbearer.expected_issuer=https://x sasl.oauthbearer.expected_audience=a", ""},
		{"auth.bootstrap_user=root", "must be set together"},
		{"auth.bootstrap_password=x", "must be set together"},
		{"auth.bootstrap_user=root auth.bootstrap_password=x", ""},
	} {
		flags := map[string]string{}
		for k, v := range base {
			flags[k] = v
		}
		for pair := range strings.FieldsSeq(test.keys) {
			name, value, _ := strings.Cut(pair, "=")
			flags[name] = value
		}
		_, err := Load(Sources{Flags: flags})
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v", test.keys, err)
		}
	}
}
