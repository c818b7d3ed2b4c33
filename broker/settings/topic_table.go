package settings

const (
	minutes = 60 * 1000
	hours   = 60 * minutes
)

const (
	noDisk       = "Without effect: Runnel has no log files on disk."
	wholeRuns    = "What leaves are whole runs of batches, as with Kafka's log files: 64 MiB of one partition at most, so that a record may stay longer than asked for, never shorter. The newest leaves too, but nothing past the last stable offset. Objects are deleted once nothing names them and garbage.grace has passed."
	allButOpen   = "There is no active segment that would be spared: all up to the last stable offset may be compacted. Less than 1 MiB waits for more, an hour at most, or segment.ms if that is less."
	alwaysSynced = "Without effect: every acknowledged write is durable in the object store and the metastore."
	onlyByUs     = "For batches that the broker compresses. Mapped to the nearest level of the library that Runnel uses."
	noTiering    = "tiered storage does not exist here: all data is in the object store"
)

func logPrefix(names ...string) []Alias {
	aliases := make([]Alias, len(names))
	for i, name := range names {
		aliases[i] = Alias{Name: "log." + name, Factor: 1}
	}
	return aliases
}

func same(name string) []Alias { return []Alias{{Name: name, Factor: 1}} }

// LingerMax is the latency class of a topic.
const LingerMax = "runnel.linger.max.ms"

// topicTable is sorted by name. Names, types, defaults and ranges are those of Kafka 4.2's topic configs, but for those
// that begin with "runnel.".
var topicTable = []Definition{
	{Name: "cleanup.policy", Type: List, Default: "delete", Check: listOf{"compact", "delete"}, Support: Acts, Cluster: logPrefix("cleanup.policy"),
		Doc:  "What becomes of old records: deleted by age and size, compacted to the last one of each key, or both.",
		Note: "With compact, records must have keys."},
	{Name: "compression.gzip.level", Type: Int, Default: "-1", Check: gzipLevel{}, Cluster: same("compression.gzip.level"),
		Doc: "The level if the broker compresses with gzip.", Note: onlyByUs},
	{Name: "compression.lz4.level", Type: Int, Default: "9", Check: between{1, 17}, Cluster: same("compression.lz4.level"),
		Doc: "The level if the broker compresses with lz4.", Note: onlyByUs},
	{Name: "compression.type", Type: String, Default: AsProduced, Support: Acts, Cluster: same("compression.type"),
		Check: oneOf{Uncompressed, "zstd", "lz4", "snappy", "gzip", AsProduced},
		Doc:   "The codec of the batches in the log; producer keeps what the client chose, and another compresses anew what comes otherwise."},
	{Name: "compression.zstd.level", Type: Int, Default: "3", Check: between{-131072, 22}, Cluster: same("compression.zstd.level"),
		Doc: "The level if the broker compresses with zstd.", Note: onlyByUs},
	{Name: "delete.retention.ms", Type: Long, Default: "86400000", Check: atLeast(0), Support: Acts, Cluster: same("log.cleaner.delete.retention.ms"),
		Doc: "How long compaction keeps tombstones, and the marks of transactions, after it first met them."},
	{Name: "file.delete.delay.ms", Type: Long, Default: "60000", Check: atLeast(0), Support: Stored, Cluster: logPrefix("segment.delete.delay.ms"),
		Doc: "How long a deleted file stays on disk.", Note: noDisk},
	{Name: "flush.messages", Type: Long, Default: "9223372036854775807", Check: atLeast(1), Support: Stored, Cluster: logPrefix("flush.interval.messages"),
		Doc: "How many records may wait for an fsync.", Note: alwaysSynced},
	{Name: "flush.ms", Type: Long, Default: "9223372036854775807", Check: atLeast(0), Support: Stored,
		Cluster: logPrefix("flush.interval.ms", "flush.scheduler.interval.ms"),
		Doc:     "How long records may wait for an fsync.", Note: alwaysSynced},
	{Name: "follower.replication.throttled.replicas", Type: List, Default: "", Support: Stored,
		Doc: "Replicas whose replication is throttled on the followers' side.", Note: "Without effect: brokers do not replicate to each other."},
	{Name: "index.interval.bytes", Type: Int, Default: "4096", Check: atLeast(0), Support: Stored, Cluster: logPrefix("index.interval.bytes"),
		Doc: "How densely a log file is indexed.", Note: noDisk},
	{Name: "leader.replication.throttled.replicas", Type: List, Default: "", Support: Stored,
		Doc: "Replicas whose replication is throttled on the leaders' side.", Note: "Without effect: brokers do not replicate to each other."},
	{Name: "local.retention.bytes", Type: Long, Default: "-2", Check: atLeast(-2), Support: Stored, Cluster: logPrefix("local.retention.bytes"),
		Doc: "How much of a tiered partition stays on local disk.", Note: noDisk},
	{Name: "local.retention.ms", Type: Long, Default: "-2", Check: atLeast(-2), Support: Stored, Cluster: logPrefix("local.retention.ms"),
		Doc: "How long records of a tiered partition stay on local disk.", Note: noDisk},
	{Name: "max.compaction.lag.ms", Type: Long, Default: "9223372036854775807", Check: atLeast(1), Support: Acts, Cluster: same("log.cleaner.max.compaction.lag.ms"),
		Doc: "After what time at the latest a record may be compacted."},
	{Name: "max.message.bytes", Type: Int, Default: "1048588", Check: atLeast(0), Support: Acts, Cluster: same("message.max.bytes"),
		Doc: "The largest record batch that is taken, in bytes, compressed as it is."},
	{Name: "message.timestamp.after.max.ms", Type: Long, Default: "3600000", Check: atLeast(0), Support: Acts, Cluster: logPrefix("message.timestamp.after.max.ms"),
		Doc: "How far ahead of the broker's clock a record's timestamp may be; ignored with LogAppendTime."},
	{Name: "message.timestamp.before.max.ms", Type: Long, Default: "9223372036854775807", Check: atLeast(0), Support: Acts, Cluster: logPrefix("message.timestamp.before.max.ms"),
		Doc: "How far behind the broker's clock a record's timestamp may be; ignored with LogAppendTime."},
	{Name: "message.timestamp.type", Type: String, Default: CreateTime, Check: oneOf{CreateTime, LogAppendTime}, Support: Acts, Cluster: logPrefix("message.timestamp.type"),
		Doc: "Whose clock gives records their timestamps: the producer's (CreateTime) or the broker's (LogAppendTime)."},
	{Name: "min.cleanable.dirty.ratio", Type: Double, Default: "0.5", Check: between{0, 1}, Support: Acts, Cluster: same("log.cleaner.min.cleanable.ratio"),
		Doc: "What part of a partition's bytes must be uncompacted before compaction runs.", Note: allButOpen},
	{Name: "min.compaction.lag.ms", Type: Long, Default: "0", Check: atLeast(0), Support: Acts, Cluster: same("log.cleaner.min.compaction.lag.ms"),
		Doc: "How long a record stays uncompacted at least."},
	{Name: "min.insync.replicas", Type: Int, Default: "1", Check: atLeast(1), Support: Stored, Cluster: same("min.insync.replicas"),
		Doc: "How many replicas must have a write before acks=all is answered.", Note: alwaysSynced},
	{Name: "preallocate", Type: Boolean, Default: "false", Support: Stored, Cluster: logPrefix("preallocate"),
		Doc: "Whether log files are allocated in full when they are made.", Note: noDisk},
	{Name: "remote.copy.lag.bytes", Type: Long, Default: "0", Check: atLeast(-1), Support: Stored,
		Doc: "How many bytes stay local before they are tiered.", Note: noDisk},
	{Name: "remote.copy.lag.ms", Type: Long, Default: "0", Check: atLeast(-1), Support: Stored,
		Doc: "How long records stay local before they are tiered.", Note: noDisk},
	{Name: "remote.log.copy.disable", Type: Boolean, Default: "false", Support: Restricted,
		Check: only{value: "false", kafka: []string{"true", "false"}, reason: noTiering},
		Doc:   "Whether tiering of new data is stopped."},
	{Name: "remote.log.delete.on.disable", Type: Boolean, Default: "false", Support: Restricted,
		Check: only{value: "false", kafka: []string{"true", "false"}, reason: noTiering},
		Doc:   "Whether tiered data goes when tiering is switched off."},
	{Name: "remote.storage.enable", Type: Boolean, Default: "false", Support: Restricted,
		Check: only{value: "false", kafka: []string{"true", "false"}, reason: noTiering},
		Doc:   "Whether a topic's old data is tiered."},
	{Name: "retention.bytes", Type: Long, Default: "-1", Support: Acts, Cluster: logPrefix("retention.bytes"),
		Doc: "How many bytes of a partition are kept; -1 is without limit.", Note: wholeRuns},
	{Name: "retention.ms", Type: Long, Default: "604800000", Check: atLeast(-1), Support: Acts,
		Cluster: []Alias{{"log.retention.ms", 1}, {"log.retention.minutes", minutes}, {"log.retention.hours", hours}},
		Doc:     "How long records are kept, by their timestamps; -1 is for ever.", Note: wholeRuns},
	{Name: LingerMax, Type: Int, Default: "-1", Check: between{-1, 60000}, Support: Acts,
		Doc:  "The longest that a batch waits in the broker for company; -1 is the broker's linger.max.",
		Note: "Runnel's own, and Kafka has nothing like it: less answers sooner and costs uploads (0 is one for what is there at the moment), more than the broker's makes uploads few, and is cut to half of a request's timeout. What is promised is the same."},
	{Name: "segment.bytes", Type: Int, Default: "1073741824", Check: atLeast(1 << 20), Support: Acts, Cluster: logPrefix("segment.bytes"),
		Doc: "The size of a log file of Kafka.", Note: "Bounds a record batch, as in Kafka. The size of Runnel's own segments is the broker's setting segment.size."},
	{Name: "segment.index.bytes", Type: Int, Default: "10485760", Check: atLeast(4), Support: Stored, Cluster: logPrefix("index.size.max.bytes"),
		Doc: "The size of a log file's index.", Note: noDisk},
	{Name: "segment.jitter.ms", Type: Long, Default: "0", Check: atLeast(0), Support: Stored,
		Cluster: []Alias{{"log.roll.jitter.ms", 1}, {"log.roll.jitter.hours", hours}},
		Doc:     "A random part of segment.ms.", Note: noDisk},
	{Name: "segment.ms", Type: Long, Default: "604800000", Check: atLeast(1), Support: Acts,
		Cluster: []Alias{{"log.roll.ms", 1}, {"log.roll.hours", hours}},
		Doc:     "After what time a log file is closed.", Note: "There are no log files: it bounds for how long a compacted partition with less than 1 MiB to compact waits for more."},
	{Name: "unclean.leader.election.enable", Type: Boolean, Default: "false", Support: Stored, Cluster: same("unclean.leader.election.enable"),
		Doc: "Whether a replica that lacks records may become leader.", Note: "Without effect: no partition has a leader that could be lost."},
}
