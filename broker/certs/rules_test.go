package certs

import (
	"errors"
	"testing"
)

type outcome uint8

const (
	taken   outcome = iota
	noRule          // of the rules takes the name
	refused         // are the rules
)

// mappings are what SslPrincipalMapper of Kafka 4.3 makes of names. What it refuses only once a name comes, is refused at once
// here.
var mappings = []struct {
	rules, name, want string
	outcome           outcome
}{
	{"DEFAULT", "CN=Duke,OU=ServiceUsers,O=Org,C=US", "CN=Duke,OU=ServiceUsers,O=Org,C=US", taken},
	{"RULE:^CN=(.*?),OU=ServiceUsers.*$/$1/, RULE:^CN=(.*?),OU=(.*?),O=(.*?),L=(.*?),ST=(.*?),C=(.*?)$/$1@$2/L, RULE:^.*[Cc][Nn]=([a-zA-Z0-9.]*).*$/$1/L, DEFAULT", "CN=Duke,OU=ServiceUsers,O=Org,C=US", "Duke", taken},
	{"RULE:^CN=(.*?),OU=ServiceUsers.*$/$1/, RULE:^CN=(.*?),OU=(.*?),O=(.*?),L=(.*?),ST=(.*?),C=(.*?)$/$1@$2/L, RULE:^.*[Cc][Nn]=([a-zA-Z0-9.]*).*$/$1/L, DEFAULT", "CN=duke,OU=SME,O=mycp,L=Fulton,ST=MD,C=US", "duke@sme", taken},
	{"RULE:^CN=(.*?),OU=ServiceUsers.*$/$1/, RULE:^CN=(.*?),OU=(.*?),O=(.*?),L=(.*?),ST=(.*?),C=(.*?)$/$1@$2/L, RULE:^.*[Cc][Nn]=([a-zA-Z0-9.]*).*$/$1/L, DEFAULT", "cn=duke,ou=sme,dc=mycp,dc=com", "duke", taken},
	{"RULE:^CN=(.*?),OU=ServiceUsers.*$/$1/, RULE:^CN=(.*?),OU=(.*?),O=(.*?),L=(.*?),ST=(.*?),C=(.*?)$/$1@$2/L, RULE:^.*[Cc][Nn]=([a-zA-Z0-9.]*).*$/$1/L, DEFAULT", "OU=JavaSoft,O=Sun Microsystems", "OU=JavaSoft,O=Sun Microsystems", taken},
	{"RULE:^CN=(.*?),.*$/$1/U", "CN=Duke,OU=ServiceUsers,O=Org,C=US", "DUKE", taken},
	{"RULE:^CN=(.*?),.*$/$1/L", "CN=Duke,OU=ServiceUsers,O=Org,C=US", "duke", taken},
	{"RULE:^CN=(.*?),.*$/$1@$4/", "CN=Duke,OU=ServiceUsers,O=Org,C=US", "Duke@$4", taken},
	{"RULE:^CN=(.*?),.*$/$0/", "CN=Duke,OU=ServiceUsers,O=Org,C=US", "CN=Duke,OU=ServiceUsers,O=Org,C=US", taken},
	{"RULE:^CN=(.)(.*?),.*$/$12/", "CN=Duke,OU=ServiceUsers,O=Org,C=US", "D2", taken},
	{"RULE:^CN=(.*?),.*$/a$b/", "CN=Duke,OU=ServiceUsers,O=Org,C=US", "", refused},
	{"RULE:^CN=(.*?),.*$/\\$1x/", "CN=Duke,OU=ServiceUsers,O=Org,C=US", "$1x", taken},
	{"RULE:^CN=(.*?),.*$/x\\/y/", "CN=Duke,OU=ServiceUsers,O=Org,C=US", "x/y", taken},
	{"RULE:^CN=(.*?),.*$/x\\\\y/", "CN=Duke,OU=ServiceUsers,O=Org,C=US", "x\\y", taken},
	{"RULE:^CN=(.*?),.*$/$/", "CN=Duke,OU=ServiceUsers,O=Org,C=US", "", refused},
	{"RULE:^CN=(.*?),.*$/\\n/", "CN=Duke,OU=ServiceUsers,O=Org,C=US", "n", taken},
	{"RULE:.*/X/", "CN=Duke,OU=ServiceUsers,O=Org,C=US", "XX", taken},
	{"RULE:.*?/X/", "CN=Duke,OU=ServiceUsers,O=Org,C=US", "XCXNX=XDXuXkXeX,XOXUX=XSXeXrXvXiXcXeXUXsXeXrXsX,XOX=XOXrXgX,XCX=XUXSX", taken},
	{"RULE:^.*$/X/", "CN=Duke,OU=ServiceUsers,O=Org,C=US", "X", taken},
	{"RULE:[A-Z]+/X/", "ABC", "X", taken},
	{"RULE:[A-Z]/X/", "ABC", "", noRule},
	{"RULE:(?:A|AB)/X/", "AB", "XB", taken},
	{"RULE:(A|AB)(C?)/<$1.$2>/", "ABC", "<A.>BC", taken},
	{"RULE:CN=(?<who>.*?),.*/${who}/", "CN=Duke,OU=ServiceUsers,O=Org,C=US", "Duke", taken},
	{"RULE:nothing/$1/", "CN=Duke,OU=ServiceUsers,O=Org,C=US", "", noRule},
	{"RULE:nothing/$1/, DEFAULT", "CN=Duke,OU=ServiceUsers,O=Org,C=US", "CN=Duke,OU=ServiceUsers,O=Org,C=US", taken},
	{"RULE:CN=a\\/b/x/", "CN=a/b", "x", taken},
	{"RULE:^CN=(.*?),.*$//", "CN=Duke,OU=ServiceUsers,O=Org,C=US", "", taken},
	{"RULE://x/", "", "", refused},
	{"RULE:/x/", "CN=Duke,OU=ServiceUsers,O=Org,C=US", "", noRule},
	{"", "CN=Duke,OU=ServiceUsers,O=Org,C=US", "", noRule},
	{" ", "CN=Duke,OU=ServiceUsers,O=Org,C=US", "", noRule},
	{",", "CN=Duke,OU=ServiceUsers,O=Org,C=US", "", noRule},
	{"DEFAULT,", "CN=Duke,OU=ServiceUsers,O=Org,C=US", "CN=Duke,OU=ServiceUsers,O=Org,C=US", taken},
	{",DEFAULT", "CN=Duke,OU=ServiceUsers,O=Org,C=US", "CN=Duke,OU=ServiceUsers,O=Org,C=US", taken},
	{" DEFAULT ", "CN=Duke,OU=ServiceUsers,O=Org,C=US", "CN=Duke,OU=ServiceUsers,O=Org,C=US", taken},
	{"DEFAULT DEFAULT", "CN=Duke,OU=ServiceUsers,O=Org,C=US", "", refused},
	{"default", "CN=Duke,OU=ServiceUsers,O=Org,C=US", "", refused},
	{"RULE", "CN=Duke,OU=ServiceUsers,O=Org,C=US", "", refused},
	{"RULE:a", "CN=Duke,OU=ServiceUsers,O=Org,C=US", "", refused},
	{"RULE:a/b", "CN=Duke,OU=ServiceUsers,O=Org,C=US", "", refused},
	{"RULE:a/b/LU", "CN=Duke,OU=ServiceUsers,O=Org,C=US", "", refused},
	{"RULE:a/b/X", "CN=Duke,OU=ServiceUsers,O=Org,C=US", "", refused},
	{"RULE:a/b/L,DEFAULT", "CN=Duke,OU=ServiceUsers,O=Org,C=US", "CN=Duke,OU=ServiceUsers,O=Org,C=US", taken},
	{"RULE:a/b/L.DEFAULT", "CN=Duke,OU=ServiceUsers,O=Org,C=US", "", refused},
	{"RULE:a/b/ L", "CN=Duke,OU=ServiceUsers,O=Org,C=US", "", refused},
	{"RULE:(/b/", "CN=Duke,OU=ServiceUsers,O=Org,C=US", "", refused},
	{"xRULE:a/b/", "CN=Duke,OU=ServiceUsers,O=Org,C=US", "", refused},
	{"RULE:^CN=(.*?),OU=(.*?),.*$/$1,$2/L,DEFAULT", "CN=Duke,OU=ServiceUsers,O=Org,C=US", "duke,serviceusers", taken},
	{"RULE:^CN=([^,]*),.*$/$1/ , RULE:.*/no/", "CN=Duke,OU=ServiceUsers,O=Org,C=US", "Duke", taken},
	{"RULE:^cn=(.*?),.*$/$1/L", "CN=Duke,OU=ServiceUsers,O=Org,C=US", "", noRule},
	{"RULE:(?i)^cn=(.*?),.*$/$1/L", "CN=Duke,OU=ServiceUsers,O=Org,C=US", "duke", taken},
	{"RULE:^CN=(.*?)$/$1/U", "CN=straße", "STRASSE", taken},
	{"RULE:^CN=(.*?)$/$1/L", "CN=İI", "i̇i", taken},
	{"RULE:.*/x/", "a\nb", "", noRule},
	{"RULE:^CN=(.*?),.*$/$1$/", "CN=Duke,OU=ServiceUsers,O=Org,C=US", "", refused},
}

func TestRulesAreThoseOfKafka(t *testing.T) {
	for _, tt := range mappings {
		rules, err := ParseRules(tt.rules)
		if (err != nil) != (tt.outcome == refused) {
			t.Errorf("%s: %v", tt.rules, err)
		}
		if err != nil {
			continue
		}
		got, err := rules.Map(tt.name)
		if errors.Is(err, ErrNoRule) != (tt.outcome == noRule) || got != tt.want {
			t.Errorf("%s of %s: %q, %v, want %q", tt.rules, tt.name, got, err, tt.want)
		}
	}
}

func TestPatternsThatOnlyJavaKnowsAreRefused(t *testing.T) {
	for _, rules := range []string{`RULE:(?=CN).*/x/`, `RULE:(.)\1/x/`, `RULE:.*+/x/`} {
		if _, err := ParseRules(rules); err == nil {
			t.Errorf("%s is taken", rules)
		}
	}
}

func FuzzRules(f *testing.F) {
	for _, tt := range mappings {
		f.Add(tt.rules, tt.name)
	}
	f.Fuzz(func(t *testing.T, text, name string) {
		if len(text) > 1000 || len(name) > 1000 {
			return
		}
		rules, err := ParseRules(text)
		if err != nil {
			return
		}
		if got, err := rules.Map(name); err != nil && got != "" {
			t.Errorf("%q beside %v", got, err)
		}
	})
}
