package main

import "github.com/spf13/cobra"

// serverCommands are those that run brokers or serve to.
func serverCommands(env *environment) []*cobra.Command {
	return []*cobra.Command{newDev(env), newBroker(env), newMigrate(env), newHealth(env), newConfig(env), newFsck(env), newRebuild(env), newSegment(env), newGenerate(env)}
}
