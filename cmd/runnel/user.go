package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

func newUser(env *environment) *cobra.Command {
	return clientFlags(env, parent("user", "Create, list and delete users who log in with a password",
		newUserCreate(env), newUserList(env), newUserDelete(env)))
}

var scramNames = map[kadm.ScramMechanism]string{kadm.ScramSha256: "SCRAM-SHA-256", kadm.ScramSha512: "SCRAM-SHA-512"}

func newUserCreate(env *environment) *cobra.Command {
	var file, only string
	var iterations int32
	var replace bool
	cmd := &cobra.Command{
		Use:   "create NAME",
		Short: "Give a user a password",
		Long: "Give a user a password, as credentials of SCRAM-SHA-256 and SCRAM-SHA-512. The cluster keeps what a password is checked\n" +
			"against, never the password. It is read from a file, from RUNNEL_NEW_PASSWORD, or asked for.",
		Example: "  runnel user create alice\n" +
			"  runnel user create alice --new-password-file /run/secrets/alice --replace",
		Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, names []string) error {
			mechanisms := []kadm.ScramMechanism{kadm.ScramSha256, kadm.ScramSha512}
			for m, name := range scramNames {
				if strings.EqualFold(name, only) {
					mechanisms = []kadm.ScramMechanism{m}
				}
			}
			if only != "" && len(mechanisms) > 1 {
				return usagef("--mechanism must be SCRAM-SHA-256 or SCRAM-SHA-512")
			}
			if iterations < 4096 || iterations > 16384 {
				return usagef("--iterations must be from 4096 to 16384")
			}
			password, err := secretFrom(env, file, "RUNNEL_NEW_PASSWORD", "New password of "+names[0], "--new-password-file")
			if err != nil {
				return err
			}
			return createUser(cmd.Context(), env, names[0], password, mechanisms, iterations, replace)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&file, "new-password-file", "", "`file` with the user's password; else it is that in RUNNEL_NEW_PASSWORD, or asked for")
	flags.StringVar(&only, "mechanism", "", "`mechanism` to make a credential for, SCRAM-SHA-256 or SCRAM-SHA-512; both if unset")
	flags.Int32Var(&iterations, "iterations", 4096, "how much work it is to try a password out, from 4096 to 16384")
	flags.BoolVar(&replace, "replace", false, "change the password of a user that exists")
	completeWords(cmd, "mechanism", "SCRAM-SHA-256", "SCRAM-SHA-512")
	completeFiles(cmd, "new-password-file")
	return cmd
}

// createUser makes one credential in a request: a request may name a user once.
func createUser(ctx context.Context, env *environment, name, password string, mechanisms []kadm.ScramMechanism, iterations int32, replace bool) error {
	admin, err := connectAdmin(ctx, env)
	if err != nil {
		return err
	}
	defer admin.Close()
	if !replace {
		is, err := admin.DescribeUserSCRAMs(ctx, name)
		switch {
		case err != nil:
			return fmt.Errorf("look for user %s: %w", name, err)
		case is[name].Err == nil:
			return fmt.Errorf("user %s exists; --replace changes the password", name)
		case !errors.Is(is[name].Err, kerr.ResourceNotFound):
			return withDetail("user "+name, is[name].Err, is[name].ErrMessage)
		}
	}
	for _, m := range mechanisms {
		made, err := admin.AlterUserSCRAMs(ctx, nil, []kadm.UpsertSCRAM{{User: name, Mechanism: m, Iterations: iterations, Password: password}})
		if err != nil {
			return fmt.Errorf("create user %s: %w", name, err)
		}
		if err := made[name].Err; err != nil {
			return withDetail("user "+name+", "+scramNames[m], err, made[name].ErrMessage)
		}
	}
	if env.json {
		return writeJSON(env.out, map[string][]string{"created": {name}})
	}
	fmt.Fprintf(env.out, "created user %s\n", name)
	return nil
}

type userJSON struct {
	User        string           `json:"user"`
	Credentials []credentialJSON `json:"credentials"`
}

type credentialJSON struct {
	Mechanism  string `json:"mechanism"`
	Iterations int32  `json:"iterations"`
}

func newUserList(env *environment) *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List the users that have a password",
		Args:    args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			admin, err := connectAdmin(cmd.Context(), env)
			if err != nil {
				return err
			}
			defer admin.Close()
			listed, err := admin.DescribeUserSCRAMs(cmd.Context())
			if err != nil {
				return fmt.Errorf("list users: %w", err)
			}
			return writeUsers(env, listed)
		},
	}
}

func writeUsers(env *environment, listed kadm.DescribedUserSCRAMs) error {
	users := []userJSON{}
	for _, u := range listed.Sorted() {
		user := userJSON{u.User, []credentialJSON{}}
		for _, c := range u.CredInfos {
			name, known := scramNames[c.Mechanism]
			if !known {
				name = fmt.Sprintf("mechanism %d", c.Mechanism)
			}
			user.Credentials = append(user.Credentials, credentialJSON{name, c.Iterations})
		}
		users = append(users, user)
	}
	if env.json {
		return writeJSON(env.out, users)
	}
	t := newTable(env.out, "USER", "MECHANISM", "ITERATIONS")
	for _, u := range users {
		for _, c := range u.Credentials {
			t.row(u.User, c.Mechanism, c.Iterations)
		}
	}
	return t.flush()
}

func newUserDelete(env *environment) *cobra.Command {
	return &cobra.Command{
		Use:   "delete NAME...",
		Short: "Delete the passwords of users",
		Long: "Delete the credentials of users, so that they cannot log in any more. Connections that they have stay until their session ends\n" +
			"(connections.max.reauth.ms) or they are closed.",
		Args:              args(cobra.MinimumNArgs(1)),
		ValidArgsFunction: completeNames(env, 0, userNames),
		RunE: func(cmd *cobra.Command, names []string) error {
			admin, err := connectAdmin(cmd.Context(), env)
			if err != nil {
				return err
			}
			defer admin.Close()
			deleted, errs := []string{}, []error{}
			for _, name := range names {
				if err := deleteUser(cmd.Context(), admin, name); err != nil {
					errs = append(errs, err)
					continue
				}
				deleted = append(deleted, name)
			}
			return errors.Join(append(errs, writeDeleted(env, "user", deleted))...)
		},
	}
}

func deleteUser(ctx context.Context, admin *kadm.Client, name string) error {
	is, err := admin.DescribeUserSCRAMs(ctx, name)
	if err != nil {
		return fmt.Errorf("look for user %s: %w", name, err)
	}
	if errors.Is(is[name].Err, kerr.ResourceNotFound) {
		return withDetail("user "+name, is[name].Err, "there is no such user")
	}
	if is[name].Err != nil {
		return withDetail("user "+name, is[name].Err, is[name].ErrMessage)
	}
	for _, c := range is[name].CredInfos {
		gone, err := admin.AlterUserSCRAMs(ctx, []kadm.DeleteSCRAM{{User: name, Mechanism: c.Mechanism}}, nil)
		if err != nil {
			return fmt.Errorf("delete user %s: %w", name, err)
		}
		if err := gone[name].Err; err != nil {
			return withDetail("user "+name, err, gone[name].ErrMessage)
		}
	}
	return nil
}

func userNames(ctx context.Context, admin *kadm.Client) ([]string, error) {
	users, err := admin.DescribeUserSCRAMs(ctx)
	var names []string
	for _, u := range users.Sorted() {
		names = append(names, u.User)
	}
	return names, err
}
