package metastore

// SegmentCommit asks for the sequencing of one uploaded segment. Its object must exist before it is committed.
type SegmentCommit struct {
	ID   SegmentID
	Size int64 // bytes of the whole object
	Runs []RunCommit
}

// RunCommit describes contiguous batches of one partition inside a segment. A partition has at most one run in a
// segment.
type RunCommit struct {
	TopicPartition
	Position uint32 // of the first batch, bytes from the start of the object
	Batches  []BatchCommit
}

// BatchCommit is what sequencing needs to know of one record batch.
type BatchCommit struct {
	Length        uint32 // bytes, header included
	Records       int32  // offsets that the batch takes: last offset delta + 1
	MaxTimestamp  int64  // ms since the epoch
	ProducerID    ProducerID
	ProducerEpoch ProducerEpoch
	BaseSequence  int32
	// AfterLoss says that an earlier batch of this producer and epoch was lost on its way to the log. The batch is then no
	// beginning, and refused as out of order if the partition does not know the producer.
	AfterLoss bool
	// Transactional batches belong to their producer's ongoing transaction. With Implicit they begin it, and add the
	// partition to it, if need be (transaction version 2); else both must have been done (AddToTxn).
	Transactional, Implicit bool
	// At asks for a base offset (mirrors that preserve offsets): 0 means next, n means offset n-1, refused if lower than
	// the high watermark or so high that the offsets run out.
	At Offset
}

// Verdict is the outcome of sequencing one batch.
type Verdict uint8

// The verdicts. Only Accepted and Duplicate are successes.
const (
	Accepted           Verdict = iota // the batch is in the log at the offset
	Duplicate                         // an earlier copy is in the log at the offset (promise 3)
	OutOfOrderSequence                // a gap in the producer's sequence, or a repeat older than the batches remembered
	StaleProducerEpoch                // the producer's epoch is older than one the partition has seen
	UnknownPartition                  // no such topic or partition, any more
	SegmentTooOld                     // the segment was made too long ago to be committed (MaxSegmentAge), or as long in the future
	OffsetNotMonotonic                // At lies below the high watermark, or at the very end of the range
	InvalidTxnState                   // transactional without an ongoing transaction that has the partition, or plain while one is open
	UnknownTxnProducer                // transactional, and no transactional id has the producer id
	verdicts                          // how many there are
)

// BatchResult tells what became of one batch.
type BatchResult struct {
	Verdict  Verdict
	Offset   Offset // base offset if Accepted or Duplicate, else NoOffset
	LogStart Offset // of the partition, NoOffset if unknown
}

// SegmentResult holds the results of a SegmentCommit: Runs[i][j] is that of Runs[i].Batches[j].
type SegmentResult struct {
	Runs [][]BatchResult
}
