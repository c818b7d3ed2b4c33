package config

import (
	"strings"
	"testing"
)

const (
	rdsURL    = "postgres://runnel@runnel.cabc.eu-central-1.rds.amazonaws.com/runnel"
	authority = `
A text, as bundles have.
SOMEBODY`
)

func TestLoggingInByIAM(t *testing.T) {
	for _, tt := range []struct {
		name    string
		flags   map[string]string
		wrong   string // "": right
		warning string
	}{
		{"verified", map[string]string{"metastore.url": rdsURL + "?sslmode=verify-full&sslrootcert=/rds.pem"}, "", ""},
		{"verified by text", map[string]string{"metastore.url": rdsURL + "?sslmode=verify-full", "metastore.authorities": authority}, "", ""},
		{"encrypted alone", map[string]string{"metastore.url": rdsURL + "?sslmode=require"}, "", "sslmode=require: who can pose as the database"},
		{"require that verifies the authority", map[string]string{"metastore.url": rdsURL + "?sslmode=require&sslrootcert=/rds.pem"}, "", ""},
		{"in clear", map[string]string{"metastore.url": rdsURL + "?sslmode=disable"}, "needs sslmode=verify-full, or require at least", ""},
		{"in clear if the server wants", map[string]string{"metastore.url": rdsURL + "?sslmode=prefer"}, "needs sslmode=verify-full, or require at least", ""},
		{"nothing said", map[string]string{"metastore.url": rdsURL}, "needs sslmode=verify-full, or require at least", ""},
		{"password in the URL", map[string]string{"metastore.url": "postgres://u:s3cr3t@h/d?sslmode=verify-full"}, "makes passwords of its own", ""},
		{"password as a parameter", map[string]string{"metastore.url": "postgres://u@h/d?sslmode=verify-full&password=s3cr3t"}, "makes passwords of its own", ""},
		{"password beside it", map[string]string{"metastore.url": rdsURL + "?sslmode=verify-full", "metastore.password": "s3cr3t"}, "makes passwords of its own", ""},
		{"password in a file", map[string]string{"metastore.url": rdsURL + "?sslmode=verify-full", "metastore.password_file": "FILE"}, "makes passwords of its own", ""},
		{"no user", map[string]string{"metastore.url": "postgres://h/d?sslmode=verify-full"}, "needs the user in metastore.url", ""},
		{"two hosts", map[string]string{"metastore.url": "postgres://u@h:1,g:2/d?sslmode=verify-full"}, "needs one host", ""},
		{"host as a parameter", map[string]string{"metastore.url": "postgres://u@h/d?sslmode=verify-full&host=g"}, "needs one host", ""},
		{"no host", map[string]string{"metastore.url": "postgres:///d?sslmode=verify-full&user=u"}, "needs one host", ""},
		{"no database", nil, "is for a metastore.url of PostgreSQL", ""},
		{"authorities that nobody asks", map[string]string{"metastore.url": rdsURL + "?sslmode=require", "metastore.authorities": authority}, "metastore.authorities are for a metastore.url of PostgreSQL with sslmode=verify-full", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			flags := inMemory()
			flags["metastore.auth"], flags["object_store.url"] = "aws_iam", "s3://bucket"
			for name, text := range tt.flags {
				if text == "FILE" {
					text = secretFile(t, "s3cr3t")
				}
				flags[name] = strings.ReplaceAll(text, "SOMEBODY", somebody)
			}
			loaded, err := Load(Sources{Flags: flags})
			if tt.wrong != "" {
				if err == nil || !strings.Contains(err.Error(), tt.wrong) || !strings.Contains(err.Error(), "--metastore-") || strings.Contains(err.Error(), "s3cr3t") {
					t.Errorf("%v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(loaded.Warnings, "\n"); tt.warning == "" && got != "" || !strings.Contains(got, tt.warning) {
				t.Errorf("warnings: %q", got)
			}
			if c := loaded.Config.Metastore; c.Auth != AuthAWSIAM || c.URL != flags["metastore.url"] || c.Password != "" || c.Authorities != flags["metastore.authorities"] {
				t.Errorf("%+v", c)
			}
		})
	}
}

func TestAuthoritiesOfTheDatabase(t *testing.T) {
	pem := strings.ReplaceAll(authority, "SOMEBODY", somebody)
	for _, tt := range []struct{ url, text, wrong string }{
		{"postgres://u@h/d?sslmode=verify-full", pem + pem, ""},
		{"postgres://u@h/d?sslmode=verify-full", "", ""},
		{"postgres://u@h/d?sslmode=verify-full", "/etc/rds.pem", "must be certificates in PEM, as text that begins with"},
		{"postgres://u@h/d?sslmode=verify-full", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "not a private key"},
		{"postgres://u@h/d?sslmode=verify-full", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "has a certificate that cannot be read"},
		{"postgres://u@h/d?sslmode=verify-ca", pem, "are for a metastore.url of PostgreSQL with sslmode=verify-full"},
		{"postgres://u@h/d", pem, "are for a metastore.url of PostgreSQL with sslmode=verify-full"},
		{"memory://", pem, "are for a metastore.url of PostgreSQL with sslmode=verify-full"},
	} {
		flags := inMemory()
		flags["metastore.url"], flags["metastore.authorities"] = tt.url, tt.text
		if tt.url != "memory://" {
			flags["object_store.url"] = "s3://bucket"
		}
		loaded, err := Load(Sources{Flags: flags})
		if tt.wrong != "" {
			if err == nil || !strings.Contains(err.Error(), tt.wrong) {
				t.Errorf("%s: %v", tt.url, err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		if err := loaded.WriteYAML(&b, true); err != nil {
			t.Fatal(err)
		}
		if again := load(t, Sources{File: []byte(b.String())}); again.Config.Metastore.Authorities != tt.text {
			t.Errorf("written and read: %q", again.Config.Metastore.Authorities)
		}
	}
}

func TestThePasswordsFileIsKnown(t *testing.T) {
	flags := inMemory()
	flags["metastore.url"], flags["object_store.url"], flags["metastore.password_file"] = "postgres://u@h/d", "s3://bucket", secretFile(t, "p\n")
	if c := load(t, Sources{Flags: flags}).Config.Metastore; c.PasswordFile != flags["metastore.password_file"] || c.URL != "postgres://u:p@h/d" || c.Auth != AuthPassword {
		t.Errorf("%+v", c)
	}
}

// somebody is the certificate of an authority.
const somebody = `
-----BEGIN CERTIFICATE-----
MIIBfTCCASOgAwIBAgIUMAWTJC6zG6YtmfbLVyGU3/fFUgMwCgYIKoZIzj0EAwIw
EzERMA8GA1UEAwwIc29tZWJvZHkwIBcNMjYxMTMwMTk0MTA4WhgPMjEyNjExMDYx
OTQxMDhaMBMxETAPBgNVBAMMCHNvbWVib2R5MFkwEwYHKoZIzj0CAQYIKoZIzj0D
AQcDQgAE4XiRA33ZElC+JfjnXOgsH/xNufwSboUOGPFcL6pL1mu3RKyhwVInqS7t
ZL1+urvj7510Lhs002CqZwwjDih7TqNTMFEwHQYDVR0OBBYEFPEu5TbQywXf3t2h
ST8b5LodkANzMB8GA1UdIwQYMBaAFPEu5TbQywXf3t2hST8b5LodkANzMA8GA1Ud
EwEB/wQFMAMBAf8wCgYIKoZIzj0EAwIDSAAwRQIgUvZCqtjoInu44N2879PS59ee
1f252VZPnVGnqWwTxFUCIQDrAqO0mOffWo7g30akjA5BScla0bJijJbeyLNCQ9ic
bg==
-----END CERTIFICATE-----
`
