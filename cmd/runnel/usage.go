package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

const (
	helpWidth    = 120 // of help that does not go to a terminal, and the most on one
	minHelpWidth = 60
)

// setUsage makes root and all commands below show their help in lines that fit the terminal.
func setUsage(env *environment, root *cobra.Command) {
	root.SetHelpFunc(func(cmd *cobra.Command, _ []string) {
		text := reflow(cmp.Or(cmd.Long, cmd.Short), widthOf(env.out))
		fmt.Fprintf(env.out, "%s\n\n", text)
		writeUsage(env.out, cmd, widthOf(env.out))
	})
	root.SetUsageFunc(func(cmd *cobra.Command) error {
		writeUsage(env.err, cmd, widthOf(env.err))
		return nil
	})
}

// widthOf is how many columns help may take.
func widthOf(stream any) int {
	if f, ok := stream.(interface{ Fd() uintptr }); ok {
		if width, _, err := term.GetSize(int(f.Fd())); err == nil {
			return min(max(width, minHelpWidth), helpWidth)
		}
	}
	return helpWidth
}

func writeUsage(w io.Writer, cmd *cobra.Command, width int) {
	fmt.Fprint(w, "Usage:\n")
	if cmd.HasAvailableSubCommands() {
		fmt.Fprintf(w, "  %s COMMAND\n", cmd.CommandPath())
	} else {
		fmt.Fprintf(w, "  %s\n", cmd.UseLine())
	}
	if len(cmd.Aliases) > 0 {
		fmt.Fprintf(w, "\nAliases:\n  %s\n", cmd.NameAndAliases())
	}
	if cmd.HasExample() {
		fmt.Fprintf(w, "\nExamples:\n%s\n", cmd.Example)
	}
	for _, g := range cmd.Groups() {
		writeCommands(w, g.Title, cmd, g.ID)
	}
	title := "Commands:"
	if len(cmd.Groups()) > 0 {
		title = "Other commands:"
	}
	writeCommands(w, title, cmd, "")
	if cmd.HasAvailableLocalFlags() {
		fmt.Fprintf(w, "\nFlags:\n%s", trimLines(cmd.LocalFlags().FlagUsagesWrapped(width)))
	}
	if cmd.HasAvailableInheritedFlags() {
		fmt.Fprintf(w, "\nFlags of all %s commands:\n%s", cmd.Parent().Name(), trimLines(cmd.InheritedFlags().FlagUsagesWrapped(width)))
	}
	if cmd.HasAvailableSubCommands() {
		fmt.Fprintf(w, "\n%s COMMAND --help says more about a command.\n", cmd.CommandPath())
	}
}

// writeCommands lists the commands of one group, if there are any.
func writeCommands(w io.Writer, title string, cmd *cobra.Command, group string) {
	commands := slices.DeleteFunc(slices.Clone(cmd.Commands()), func(c *cobra.Command) bool {
		return c.GroupID != group || !c.IsAvailableCommand() && c.Name() != "help"
	})
	if len(commands) == 0 {
		return
	}
	fmt.Fprintf(w, "\n%s\n", title)
	for _, c := range commands {
		fmt.Fprintf(w, "  %-*s  %s\n", c.NamePadding(), c.Name(), c.Short)
	}
}

// reflow breaks paragraphs anew, in lines of at most width columns. Lines that begin with a space stay as they are.
func reflow(text string, width int) string {
	var lines []string
	var current string // of the paragraph that is being broken
	flush := func() {
		if current != "" {
			lines, current = append(lines, current), ""
		}
	}
	for line := range strings.SplitSeq(text, "\n") {
		if line == "" || strings.HasPrefix(line, " ") {
			flush()
			lines = append(lines, line)
			continue
		}
		for word := range strings.FieldsSeq(line) {
			if current != "" && len(current)+1+len(word) > width {
				flush()
			}
			current = strings.TrimPrefix(current+" "+word, " ")
		}
	}
	flush()
	return strings.Join(lines, "\n")
}

// newHelp is the command that cobra would make, but a mistake for a command that does not exist.
func newHelp() *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]...",
		Short: "Show the help of a command",
		RunE: func(cmd *cobra.Command, given []string) error {
			found, rest, err := cmd.Root().Find(given)
			if err != nil {
				return err
			}
			if len(rest) > 0 {
				return unknownCommand(found, rest[0])
			}
			found.InitDefaultHelpFlag()
			return found.Help()
		},
		ValidArgsFunction: func(cmd *cobra.Command, given []string, begun string) ([]string, cobra.ShellCompDirective) {
			var names []string
			if found, rest, err := cmd.Root().Find(given); err == nil && len(rest) == 0 {
				for _, c := range found.Commands() {
					if c.IsAvailableCommand() && strings.HasPrefix(c.Name(), begun) {
						names = append(names, c.Name()+"\t"+c.Short)
					}
				}
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
	}
}
