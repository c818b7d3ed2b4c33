package postgres

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Login is how sessions authenticate, and whom they take for the database. The zero value leaves both to the DSN.
type Login struct {
	// Password, if set, is asked in place of the DSN's.
	Password Password
	// Authorities are the certificates, in PEM, of the authorities that sign the database's, in place of those of the system.
	// The DSN says sslmode=verify-full then.
	Authorities []byte
}

// Password returns the password for a new connection to a host as a user. It is asked for each connection, so that one which
// changes, or is good for minutes, is never kept.
type Password func(ctx context.Context, host string, port uint16, user string) (string, error)

// into puts a fresh password into what a connection is about to be made with.
func (p Password) into(ctx context.Context, config *pgx.ConnConfig) error {
	if p == nil {
		return nil
	}
	fresh, err := p(ctx, config.Host, config.Port, config.User)
	if err != nil {
		return fmt.Errorf("password for %s: %w", config.Host, err)
	}
	config.Password = fresh
	return nil
}

var (
	errNoCertificates = errors.New("the authorities of the database hold no certificate in PEM")
	errNotVerified    = errors.New("authorities of the database are of use only with sslmode=verify-full, without sslrootcert")
)

// trust has connections take what the authorities have signed, and nothing else.
func (l Login) trust(config *pgx.ConnConfig) error {
	if l.Authorities == nil {
		return nil
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(l.Authorities) {
		return errNoCertificates
	}
	all := []*tls.Config{config.TLSConfig}
	for _, f := range config.Fallbacks {
		all = append(all, f.TLSConfig)
	}
	for _, t := range all {
		// verify-full alone has the driver verify as crypto/tls does.
		if t == nil || t.InsecureSkipVerify || t.ServerName == "" || t.RootCAs != nil {
			return errNotVerified
		}
		t.RootCAs = roots
	}
	return nil
}
