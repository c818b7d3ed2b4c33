package node

import (
	"context"

	"github.com/runnel-io/runnel/broker/config"
	"github.com/runnel-io/runnel/metastore/postgres"
	"github.com/runnel-io/runnel/metastore/postgres/rdsauth"
)

// loginOf says how sessions of PostgreSQL authenticate.
func loginOf(ctx context.Context, c *config.Config) (login postgres.Login, err error) {
	m := &c.Metastore
	if m.Authorities != "" {
		login.Authorities = []byte(m.Authorities)
	}
	switch {
	case m.Auth == config.AuthAWSIAM:
		tokens, err := rdsauth.Open(ctx, rdsauth.Options{Region: c.ObjectStore.Region})
		if err != nil {
			return login, err
		}
		login.Password = tokens.Password
	case m.PasswordFile != "":
		name := m.PasswordFile
		login.Password = func(context.Context, string, uint16, string) (string, error) { return config.ReadSecret(name) }
	}
	return login, nil
}
