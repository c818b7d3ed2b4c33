package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/runnel-io/runnel/broker/config"
	"github.com/runnel-io/runnel/broker/node"
)

func newMigrate(env *environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "migrate",
		Short: "Bring the metastore's database to what this version needs",
		Long: "Bring the metastore's database to what this version needs, forward only. Several may run at once: one does the\n" +
			"work, the others wait. Nothing happens if nothing is needed. It takes a broker's configuration and looks at\n" +
			"metastore.url alone.\n\n" +
			"With --grant-iam USER it migrates nothing. It logs in to RDS or Aurora as who may make users, makes USER unless\n" +
			"it is there, and lets it log in with tokens of IAM and make tables; brokers with metastore.auth: aws_iam then log\n" +
			"in as USER, and migrate.",
		Example: "  runnel migrate --config /etc/runnel.yaml\n" +
			"  runnel migrate --metastore-url postgres://runnel@db/runnel\n" +
			"  RUNNEL_METASTORE_PASSWORD=... runnel migrate --metastore-url postgres://postgres@db/runnel --grant-iam runnel",
		Args: args(cobra.NoArgs),
	}
	flags := newConfigFlags(cmd)
	flags.show("metastore.url")
	cmd.Flags().BoolVar(&env.json, "json", false, "write JSON")
	grant := cmd.Flags().String("grant-iam", "", "in place of migrating, let `USER` log in to RDS with tokens of IAM and make tables")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		loaded, err := flags.load(env, "object_store.url")
		if err != nil {
			return err
		}
		if cmd.Flags().Changed("grant-iam") {
			return grantIAM(cmd.Context(), env, &loaded.Config, *grant)
		}
		steps, err := node.Migrate(cmd.Context(), &loaded.Config)
		if err != nil && len(steps) == 0 {
			return err
		}
		return errors.Join(err, writeMigrations(env, &loaded.Config, steps))
	}
	return cmd
}

type migrationJSON struct {
	Version int64   `json:"version"`
	Name    string  `json:"name"`
	Seconds float64 `json:"seconds"`
}

func writeMigrations(env *environment, c *config.Config, steps []node.Migration) error {
	if env.json {
		applied := []migrationJSON{}
		for _, s := range steps {
			applied = append(applied, migrationJSON{s.Version, s.Name, s.Took.Seconds()})
		}
		return writeJSON(env.out, map[string]any{"applied": applied})
	}
	for _, s := range steps {
		fmt.Fprintf(env.out, "applied %s in %s\n", s.Name, s.Took.Round(time.Millisecond))
	}
	summary := "up to date, nothing to do"
	if len(steps) > 0 {
		summary = plural(int64(len(steps)), "migration applied", "migrations applied")
	}
	_, err := fmt.Fprintf(env.out, "%s: %s\n", config.RedactURL(c.Metastore.URL), summary)
	return err
}
