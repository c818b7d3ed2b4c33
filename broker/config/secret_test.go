package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// secretFile makes a file with a content.
func secretFile(t *testing.T, content string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// TestEverySecretHasAFile also holds that none of them is shown.
func TestEverySecretHasAFile(t *testing.T) {
	const secret = "s3cr3t-0123456789abcdef"
	base := map[string]map[string]string{
		"object_store.secret_key": {"object_store.access_key": "me"},
		"metastore.password":      {"metastore.url": "postgres://me@db/x", "object_store.url": "s3://bucket"},
		"admin.token":             {"admin.listen": "127.0.0.1:0"},
		"auth.bootstrap_password": {"auth.bootstrap_user": "root"},
	}
	secrets := 0
	for _, k := range Keys() {
		if !k.Secret {
			continue
		}
		secrets++
		t.Run(k.Name, func(t *testing.T) {
			if _, ok := lookup(k.Name + fileSuffix); !ok {
				t.Fatalf("no key %s_file", k.Name)
			}
			var want string
			for _, from := range []string{"", secret, secret + "\n", secret + "\r\n"} {
				flags := inMemory()
				for name, value := range base[k.Name] {
					flags[name] = value
				}
				if from == "" {
					flags[k.Name] = secret
				} else {
					flags[k.Name+fileSuffix] = secretFile(t, from)
				}
				l := load(t, Sources{Flags: flags})
				got := l.Config.Peer.Secret + l.Config.ObjectStore.SecretKey + l.Config.Admin.Token + l.Config.Metastore.Password + l.Config.Auth.BootstrapPassword
				if from == "" {
					want = got
				}
				if got != want || !strings.Contains(got, secret) {
					t.Errorf("from %q: %q, want %q", from, got, want)
				}
				var b strings.Builder
				if err := l.WriteYAML(&b, true); err != nil || strings.Contains(b.String(), "s3cr3t") {
					t.Errorf("shown: %v\n%s", err, b.String())
				}
				for _, v := range l.Values {
					if strings.Contains(v.Text, "s3cr3t") {
						t.Errorf("%s is shown", v.Key)
					}
				}
				if from != "" {
					load(t, Sources{File: []byte(b.String())}) // the file is named, so what is printed can be read
				}
			}
		})
	}
	if secrets < 4 {
		t.Errorf("%d secrets", secrets)
	}
}

func TestSecretsThatCannotBeRead(t *testing.T) {
	const secret = "s3cr3t-0123456789abcdef"
	for _, tt := range []struct {
		name  string
		flags map[string]string
		want  string
	}{
		{"none", map[string]string{"peer.secret_file": filepath.Join(t.TempDir(), "none")}, "--peer-secret-file: peer.secret_file: open "},
		{"empty", map[string]string{"peer.secret_file": secretFile(t, "\n")}, "is empty"},
		{"large", map[string]string{"peer.secret_file": secretFile(t, strings.Repeat("x", mostSecret+1))}, "has more than 65536 bytes"},
		{"short", map[string]string{"peer.secret_file": secretFile(t, "s3cr3t")}, `invalid value "********" for peer.secret: must have 16 characters`},
		{"two", map[string]string{"peer.secret": secret, "peer.secret_file": secretFile(t, secret)}, "peer.secret and peer.secret_file are two ways"},
		{"two passwords", map[string]string{"metastore.url": "postgres://u:s3cr3t@h/d", "metastore.password": secret}, "has a password of its own"},
		{"two passwords, as a parameter", map[string]string{"metastore.url": "postgres://u@h/d?password=s3cr3t", "metastore.password": secret}, "has a password of its own"},
		{"no database", map[string]string{"metastore.password": secret}, "only a metastore.url of PostgreSQL takes a password"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			flags := inMemory()
			for name, value := range tt.flags {
				flags[name] = value
			}
			_, err := Load(Sources{Flags: flags})
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "s3cr3t") {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}

func TestPasswordsBecomePartOfTheURL(t *testing.T) {
	for _, tt := range []struct{ address, password, want, shown string }{
		{"postgres://u@h/d", "p", "postgres://u:p@h/d", "postgres://u:********@h/d"},
		{"postgres://u@h:1,g:2/d?sslmode=require", "a/b:c@d?e#f %", "postgres://u:a%2Fb%3Ac%40d%3Fe%23f%20%25@h:1,g:2/d?sslmode=require",
			"postgres://u:********@h:1,g:2/d?sslmode=require"},
		{"postgresql://h/d", "p&q", "postgresql://h/d?password=p%26q", "postgresql://h/d?password=********"},
	} {
		got, err := withPassword(tt.address, tt.password)
		if err != nil || got != tt.want || RedactURL(got) != tt.shown {
			t.Errorf("%s: %s, shown as %s, %v", tt.address, got, RedactURL(got), err)
		}
	}
}
