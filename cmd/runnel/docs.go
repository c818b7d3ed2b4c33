package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/runnel-io/runnel/broker/config"
)

// newDocs makes the documents that are written from the tables in the code. `make generate` calls it.
func newDocs(env *environment) *cobra.Command {
	var output string
	write := func(text string) error {
		if output == "" {
			_, err := fmt.Fprint(env.out, text)
			return err
		}
		return os.WriteFile(output, []byte(text), 0o644)
	}
	configuration := &cobra.Command{
		Use:   "config",
		Short: "Write docs/config.md",
		Args:  args(cobra.NoArgs),
		RunE:  func(*cobra.Command, []string) error { return write(config.Markdown()) },
	}
	cmd := parent("docs", "Write documents that are made from the code", configuration)
	cmd.Hidden = true
	cmd.PersistentFlags().StringVarP(&output, "output", "o", "", "file to write; standard output if unset")
	return cmd
}
