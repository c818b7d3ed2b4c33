package main

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
)

// completionTimeout is how long a shell may wait for names from a cluster.
const completionTimeout = 2 * time.Second

// completeNames completes arguments, at most so many (0: any number), with names that the cluster is asked for.
func completeNames(env *environment, most int, list func(context.Context, *kadm.Client) ([]string, error)) cobra.CompletionFunc {
	return func(_ *cobra.Command, given []string, begun string) ([]string, cobra.ShellCompDirective) {
		if most > 0 && len(given) >= most {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx, cancel := context.WithTimeout(context.Background(), completionTimeout)
		defer cancel()
		quiet := *env
		quiet.in = nil // nobody is to be asked for a password
		admin, err := connectAdmin(ctx, &quiet)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp // a shell has no place for the reason
		}
		defer admin.Close()
		names, err := list(ctx, admin)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		names = slices.DeleteFunc(names, func(name string) bool {
			return !strings.HasPrefix(name, begun) || slices.Contains(given, name)
		})
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}

func topicNames(ctx context.Context, admin *kadm.Client) ([]string, error) {
	topics, err := admin.ListTopics(ctx)
	return topics.Names(), err
}

func groupNames(ctx context.Context, admin *kadm.Client) ([]string, error) {
	groups, err := admin.ListGroups(ctx)
	return groups.Groups(), err
}

// completeWords completes a flag with one of the words that it takes.
func completeWords(cmd *cobra.Command, flag string, words ...string) {
	if err := cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(err) // the command has no such flag
	}
}

// completeFiles completes a flag with files, of certain extensions if there are any.
func completeFiles(cmd *cobra.Command, flag string, extensions ...string) {
	directive := cobra.ShellCompDirectiveFilterFileExt
	if len(extensions) == 0 {
		directive = cobra.ShellCompDirectiveDefault
	}
	if err := cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(extensions, directive)); err != nil {
		panic(err) // the command has no such flag
	}
}
