package settings

// GroupConsumer is the settings of all consumer groups (KIP-848); those that each may have of its own are with Live.ConsumerTimes.
type GroupConsumer struct {
	MaxSize         int
	Assignors       []string // the default first
	MigrationPolicy string   // bidirectional, upgrade, downgrade or disabled
}

func (c *Cluster) groupConsumer() GroupConsumer {
	return GroupConsumer{
		MaxSize:         int(c.Int("group.consumer.max.size")),
		Assignors:       splitList(c.String("group.consumer.assignors")),
		MigrationPolicy: c.String("group.consumer.migration.policy"),
	}
}
