package main

import (
	"fmt"
	"regexp"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// build is what the Go toolchain noted in the binary.
type build struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"`
	Time     string `json:"time,omitempty"`
	Modified bool   `json:"modified,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

// String is for people, without a newline at the end.
func (b build) String() string {
	text := fmt.Sprintf("runnel %s (%s, %s)", b.Version, b.Go, b.Platform)
	if b.Revision != "" {
		text += fmt.Sprintf("\nrevision %s of %s%s", b.Revision, b.Time, map[bool]string{true: ", modified"}[b.Modified])
	}
	return text
}

func readBuild() build {
	b := build{Version: "devel", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		b.Version = v
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Revision = s.Value
		case "vcs.time":
			b.Time = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
	return b
}

var notInKafkaVersion = regexp.MustCompile(`[^a-zA-Z0-9.-]+`)

// versionForKafka is the version in the letters that ApiVersions allows (KIP-511).
func versionForKafka() string {
	return notInKafkaVersion.ReplaceAllString(readBuild().Version, "-")
}

func newVersion(env *environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Show what this binary was built from",
		Args:  args(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			if env.json {
				return writeJSON(env.out, readBuild())
			}
			return printVersion(env)
		},
	}
	cmd.Flags().BoolVar(&env.json, "json", false, "write JSON")
	return cmd
}

func printVersion(env *environment) error {
	_, err := fmt.Fprintln(env.out, readBuild())
	return err
}
