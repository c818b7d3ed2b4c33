package main

import (
	"cmp"
	"context"
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
			"With --bucket it makes the bucket of object_store.url, too, unless that is there: for S3 servers of your own, since\n" +
			"brokers never do, and rather say that theirs is missing.\n\n" +
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
	timeout := cmd.Flags().Duration("timeout", 0, "give up after so long (default 1h, or 1m with --grant-iam)")
	grant := cmd.Flags().String("grant-iam", "", "in place of migrating, let `USER` log in to RDS with tokens of IAM and make tables")
	bucket := cmd.Flags().Bool("bucket", false, "make the bucket of object_store.url, too, unless it is there")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *timeout < 0 {
			return usagef("--timeout must not be less than 0")
		}
		optional := []string{"object_store.url"}
		if *bucket {
			optional = nil
		}
		loaded, err := flags.load(env, optional...)
		if err != nil {
			return err
		}
		if cmd.Flags().Changed("grant-iam") {
			return within(cmd.Context(), cmp.Or(*timeout, mostGrant), func(ctx context.Context) error {
				return grantIAM(ctx, env, &loaded.Config, *grant)
			})
		}
		return within(cmd.Context(), cmp.Or(*timeout, mostMigration), func(ctx context.Context) error {
			steps, err := node.Migrate(ctx, &loaded.Config)
			if err != nil && len(steps) == 0 {
				return err
			}
			var made *bucketJSON
			if *bucket && err == nil {
				if made, err = makeBucket(ctx, &loaded.Config); err != nil {
					err = fmt.Errorf("object store: %w", err)
				}
			}
			return errors.Join(err, writeMigrations(env, &loaded.Config, steps, made))
		})
	}
	return cmd
}

type bucketJSON struct {
	URL  string `json:"url"`
	Made bool   `json:"made"`
}

func makeBucket(ctx context.Context, c *config.Config) (*bucketJSON, error) {
	made, err := node.MakeBucket(ctx, c)
	if err != nil {
		return nil, err
	}
	return &bucketJSON{c.ObjectStore.URL, made}, nil
}

const (
	mostMigration = time.Hour   // tables may be large, and others may be at it
	mostGrant     = time.Minute // a few statements, and others who do the same
)

// within runs what asks a server, and says so if that took too long.
func within(ctx context.Context, timeout time.Duration, run func(context.Context) error) error {
	limited, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	err := run(limited)
	if err != nil && limited.Err() != nil && ctx.Err() == nil {
		return fmt.Errorf("gave up after %v (--timeout): %w", timeout, err)
	}
	return err
}

type migrationJSON struct {
	Version int64   `json:"version"`
	Name    string  `json:"name"`
	Seconds float64 `json:"seconds"`
}

func writeMigrations(env *environment, c *config.Config, steps []node.Migration, bucket *bucketJSON) error {
	if env.json {
		applied := []migrationJSON{}
		for _, s := range steps {
			applied = append(applied, migrationJSON{s.Version, s.Name, s.Took.Seconds()})
		}
		all := map[string]any{"applied": applied}
		if bucket != nil {
			all["bucket"] = bucket
		}
		return writeJSON(env.out, all)
	}
	for _, s := range steps {
		fmt.Fprintf(env.out, "applied %s in %s\n", s.Name, s.Took.Round(time.Millisecond))
	}
	summary := "up to date, nothing to do"
	if len(steps) > 0 {
		summary = plural(int64(len(steps)), "migration applied", "migrations applied")
	}
	if _, err := fmt.Fprintf(env.out, "%s: %s\n", config.RedactURL(c.Metastore.URL), summary); err != nil || bucket == nil {
		return err
	}
	what := "was there"
	if bucket.Made {
		what = "made"
	}
	_, err := fmt.Fprintf(env.out, "%s: bucket %s\n", bucket.URL, what)
	return err
}
