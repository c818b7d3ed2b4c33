package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/runnel-io/runnel/broker/config"
)

// adminKeys say where the admin server of a broker is.
var adminKeys = []string{"admin.listen", "admin.certificate"}

// adminOf resolves them as the broker does that is asked: from what this command was given, or with the flags of the first
// process, if that is a broker and none were given here.
func adminOf(env *environment, flags *configFlags) (*config.Admin, error) {
	if !flags.given("config", "admin-listen", "admin-certificate") {
		if command, arguments := firstProcess(env.proc); command == "dev" {
			return adminOfDev(env, arguments)
		} else if command == "broker" {
			cmd := &cobra.Command{}
			flags = newConfigFlags(cmd)
			if err := cmd.ParseFlags(arguments); err != nil {
				return nil, err
			}
		}
	}
	loaded, err := flags.loadOnly(env, adminKeys...)
	if err != nil {
		return nil, err
	}
	return &loaded.Config.Admin, nil
}

// adminOfDev is adminOf for `runnel dev`, which looks at no file and no environment.
func adminOfDev(env *environment, arguments []string) (*config.Admin, error) {
	cmd := newDev(env)
	if err := cmd.ParseFlags(arguments); err != nil {
		return nil, err
	}
	value := func(flag string) string { return cmd.Flags().Lookup(flag).Value.String() }
	return &config.Admin{Listen: value("admin"), Certificate: value("admin-certificate")}, nil
}

func (c *configFlags) given(flags ...string) bool {
	for _, flag := range flags {
		if c.flags.Changed(flag) {
			return true
		}
	}
	return false
}

// mostArguments bounds what is read of a command line, in bytes.
const mostArguments = 128 << 10

// firstProcess returns command and arguments of the first process, if it is of this binary. That is so in a container that
// holds nothing else, where nobody but the broker has its flags. What may not be looked at is not of this binary.
func firstProcess(proc string) (command string, arguments []string) {
	if proc == "" {
		return "", nil
	}
	first, err := os.Stat(filepath.Join(proc, "1", "exe"))
	if err != nil {
		return "", nil
	}
	if own, err := os.Stat(filepath.Join(proc, "self", "exe")); err != nil || !os.SameFile(first, own) {
		return "", nil
	}
	file, err := os.Open(filepath.Join(proc, "1", "cmdline"))
	if err != nil {
		return "", nil
	}
	defer file.Close()
	line, err := io.ReadAll(io.LimitReader(file, mostArguments))
	words := strings.Split(string(bytes.TrimSuffix(line, []byte{0})), "\x00")
	if err != nil || len(words) < 2 {
		return "", nil
	}
	return words[1], words[2:]
}
