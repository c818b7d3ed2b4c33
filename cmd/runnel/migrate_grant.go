package main

import (
	"context"
	"fmt"

	"github.com/runnel-io/runnel/broker/config"
	"github.com/runnel-io/runnel/broker/node"
)

// grantIAM makes the user that brokers log in as with tokens of IAM, once for each database: what Terraform cannot do, which
// reaches no database, and what nobody should have to do by hand.
func grantIAM(ctx context.Context, env *environment, c *config.Config, user string) error {
	if user == "" {
		return usagef("--grant-iam needs the name of a user")
	}
	made, err := node.GrantIAM(ctx, c, user)
	if err != nil {
		return err
	}
	if env.json {
		return writeJSON(env.out, map[string]any{"user": user, "made": made})
	}
	what := "was there, and may log in with tokens of IAM"
	if made {
		what = "made, and may log in with tokens of IAM"
	}
	_, err = fmt.Fprintf(env.out, "%s: user %s %s\n", config.RedactURL(c.Metastore.URL), user, what)
	return err
}
