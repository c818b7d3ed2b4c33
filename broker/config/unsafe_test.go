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
	} {
		t.Run(tt.name, func(t *testing.T) {
			flags := inMemory()
			maps.Copy(flags, tt.flags)
			_, err := Load(Sources{Flags: flags})
			switch {
			case tt.danger == "" && err != nil:
				t.Errorf("refused: %v", err)
			case tt.danger != "" && (err == nil || !strings.Contains(err.Error(), "allow_unsafe: "+tt.danger)):
				t.Errorf("got %v, want %s", err, tt.danger)
			}
			flags["allow_unsafe"] = strings.Join(dangerNames(), ", ")
			loaded, err := Load(Sources{Flags: flags})
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
