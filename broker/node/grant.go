package node

import (
	"context"
	"errors"

	"github.com/runnel-io/runnel/broker/config"
	"github.com/runnel-io/runnel/metastore/postgres"
)

// GrantIAM makes a user of the metastore's database who logs in with tokens of AWS's IAM and may make tables, unless it is
// there, and tells whether it made it. metastore.url is of who may make users.
func GrantIAM(ctx context.Context, c *config.Config, user string) (made bool, err error) {
	if name, _ := scheme(c.Metastore.URL); name != "postgres" && name != "postgresql" {
		return false, errors.New("grant login by IAM: metastore.url names no PostgreSQL")
	}
	login, err := loginOf(ctx, c)
	if err != nil {
		return false, err
	}
	return postgres.GrantIAM(ctx, c.Metastore.URL, login, user)
}
