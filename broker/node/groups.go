package node

import (
	"github.com/runnel-io/runnel/broker/group"
	"github.com/runnel-io/runnel/broker/settings"
)

// migration is the policy that a value of group.consumer.migration.policy means.
func migration(policy string) group.Migration {
	switch policy {
	case "upgrade":
		return group.MigrateUpgrade
	case "downgrade":
		return group.MigrateDowngrade
	case "disabled":
		return group.MigrateNever
	default:
		return group.MigrateBothWays
	}
}

// consumerTimes are the times of each consumer group, as they are set at the moment.
func consumerTimes(live *settings.Live) func(string) group.ConsumerTimes {
	return func(groupID string) group.ConsumerTimes { return group.ConsumerTimes(live.ConsumerTimes(groupID)) }
}
