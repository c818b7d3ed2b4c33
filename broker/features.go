package broker

// feature is one that ApiVersions names (KIP-584): what the software supports, and what is in force.
type feature struct {
	name      string
	min, max  int16 // levels that are supported
	finalized int16 // the level in force
}

// features are those of Kafka's that there are. Their levels are the software's, the same on every broker: nothing can
// change them.
var features = []feature{
	{"group.version", 0, 1, 1},
	{"metadata.version", 7, 25, 25}, // 3.3-IV3 to 4.0-IV3, which every 4.x tool has a name for
	{"transaction.version", 0, 2, 2},
}

// featuresEpoch grows with each change of finalized levels, and is never lowered: clients look again only then.
const featuresEpoch = 1
