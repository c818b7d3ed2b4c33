package config

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// crossCheckMetastore makes the password part of the URL, and checks what logging in otherwise needs.
func (l *loader) crossCheckMetastore(c *Config) {
	if c.Metastore.Auth == AuthAWSIAM {
		l.crossCheckIAM(c)
		return
	}
	if c.Metastore.Authorities != "" && (!isPostgres(c.Metastore.URL) || sslMode(c.Metastore.URL) != verifyFull) {
		l.problem(l.keys["metastore.authorities"].origin, "metastore.authorities are for a metastore.url of PostgreSQL with sslmode=verify-full")
	}
	if c.Metastore.Password == "" {
		return
	}
	address, err := withPassword(c.Metastore.URL, c.Metastore.Password)
	if err != nil {
		l.problem(l.keys["metastore.password"].origin, "metastore.password: %v", err)
		return
	}
	c.Metastore.URL = address
}

const verifyFull = "verify-full"

// encrypted are the values of sslmode with which nothing is said in clear, whatever the server wants.
var encrypted = []string{"require", "verify-ca", verifyFull}

// crossCheckIAM holds tokens to one database, by its own name, and off the network in clear: the server gets them as they are.
func (l *loader) crossCheckIAM(c *Config) {
	origin := l.keys["metastore.auth"].origin
	wrong := func(format string, args ...any) {
		l.problem(origin, "metastore.auth: aws_iam "+format, args...)
	}
	switch {
	case c.Metastore.URL == "": // for who can do without
		return
	case !isPostgres(c.Metastore.URL):
		wrong("is for a metastore.url of PostgreSQL")
		return
	}
	u, err := url.Parse(c.Metastore.URL)
	if err != nil { // its kind was checked
		wrong("is for a metastore.url that is a URL")
		return
	}
	query := u.Query()
	if _, ok := u.User.Password(); ok || query.Has("password") || c.Metastore.Password != "" {
		wrong("makes passwords of its own; take the one of metastore.url, metastore.password or metastore.password_file out")
	}
	if u.User.Username() == "" {
		wrong("needs the user in metastore.url, as postgres://runnel@host/database")
	}
	if u.Hostname() == "" || strings.Contains(u.Host, ",") || query.Has("host") || query.Has("hostaddr") {
		wrong("needs one host in metastore.url, the name that AWS gave the database: a token is for that host alone")
	}
	mode := sslMode(c.Metastore.URL)
	switch {
	case !slices.Contains(encrypted, mode):
		wrong("sends tokens to the database as they are: metastore.url needs sslmode=verify-full, or require at least")
	case mode != verifyFull && c.Metastore.Authorities != "":
		l.problem(l.keys["metastore.authorities"].origin, "metastore.authorities are for a metastore.url of PostgreSQL with sslmode=verify-full")
	case mode == "require" && !query.Has("sslrootcert"):
		l.warnings = append(l.warnings, "metastore.url has sslmode=require: who can pose as the database in its network gets tokens that are good for 15 minutes; "+
			"sslmode=verify-full needs the certificates of Amazon RDS's authorities (sslrootcert, or metastore.authorities)")
	}
}

func isPostgres(address string) bool {
	return strings.HasPrefix(address, "postgres://") || strings.HasPrefix(address, "postgresql://")
}

func sslMode(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return u.Query().Get("sslmode")
}

// parseCertificates takes one certificate after the other in PEM, and texts between them, as bundles have.
func parseCertificates(s string) (value, error) {
	found := 0
	for rest := []byte(s); len(bytes.TrimSpace(rest)) > 0; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return value{}, fmt.Errorf("must be certificates in PEM, not a %s", strings.ToLower(block.Type))
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return value{}, fmt.Errorf("has a certificate that cannot be read: %w", err)
		}
		found++
	}
	if found == 0 && strings.TrimSpace(s) != "" {
		return value{}, errors.New("must be certificates in PEM, as text that begins with -----BEGIN CERTIFICATE-----")
	}
	return value{text: s}, nil
}
