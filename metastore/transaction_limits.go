package metastore

const (
	// maxTransactionalIDs bounds what clients that make up a new transactional id each time take of the memory of all
	// brokers until the ids expire: some 200 bytes each.
	maxTransactionalIDs = 1_000_000
	// maxTxnPartitions bounds the markers of one entry: this many make 200 KB that fold in some milliseconds. Commits that
	// are under way at the same time may exceed it by what they hold.
	maxTxnPartitions = 20_000
	// maxTxnBytes bounds the offsets that one transaction holds, and so the rows that its end writes: tens of thousands of
	// partitions with little metadata.
	maxTxnBytes = 4 << 20
	// maxPendingBytes bounds the offsets of all ongoing transactions, which every broker keeps in memory.
	maxPendingBytes = 256 << 20
	// maxTxnEntryBytes is about how large an entry of several requests becomes before the rest goes to the next.
	maxTxnEntryBytes = 4 << 20
)
