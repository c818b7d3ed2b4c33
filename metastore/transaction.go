package metastore

import (
	"errors"
	"time"
)

// Transactions are part of the folded log: every broker knows every transactional id, so any broker can decide on any
// request, and the compare-and-set of the log is the only fence. A request names what it means (producer id, epoch and,
// where the protocol lets it, the transaction's number); deciding it is a pure function of the state.

// TxnNumber counts the transactions of a transactional id that have ended. A request that carries the number which its
// broker saw when it arrived can never decide a later transaction, however long it is under way (KAFKA-17754).
type TxnNumber int64

// TxnState is what a transactional id is doing. Kafka's states between these do not exist: an end is one entry.
type TxnState uint8

// The states. Kafka calls them Empty, Ongoing, CompleteCommit and CompleteAbort.
const (
	TxnEmpty TxnState = iota
	TxnOngoing
	TxnCompleteCommit
	TxnCompleteAbort
)

// Transaction is a transactional id as of some position. The caller owns it.
type Transaction struct {
	ID           string
	AsOf         Seq // the position; the only field that is set for an id that there is not
	Producer     ProducerID
	Epoch        ProducerEpoch
	LastProducer ProducerID    // before the last change of Producer or Epoch; NoProducerID if there was none
	LastEpoch    ProducerEpoch // -1 if there was none
	Timeout      time.Duration // whole milliseconds
	State        TxnState
	Version      int8 // of the protocol that the present or last transaction was made with: 1 or 2 (KIP-890)
	Number       TxnNumber
	StartedAt    time.Time        // of the ongoing transaction; zero if there is none
	ChangedAt    time.Time        // of the last entry that concerns it
	Partitions   []TopicPartition // of the ongoing transaction, as far as their topics exist, in order
	Groups       []string         // whose offsets the ongoing transaction may commit, in order
}

// Errors of requests that change transactions. Each concerns one request alone.
var (
	// ErrTxnFenced: a newer epoch of the producer exists. Kafka: PRODUCER_FENCED.
	ErrTxnFenced = errors.New("a newer producer has the transactional id")
	// ErrTxnMapping: the transactional id is unknown, or has another producer id. Kafka: INVALID_PRODUCER_ID_MAPPING.
	ErrTxnMapping = errors.New("the transactional id does not have this producer id")
	// ErrTxnState: the transaction is not in a state that allows it. Kafka: INVALID_TXN_STATE.
	ErrTxnState = errors.New("the transaction is not in a state that allows this")
	// ErrTxnMoved: the transaction that the request's number means has ended. Look again.
	ErrTxnMoved = errors.New("the transaction has ended")
	// ErrTxnTooLarge: the pending offsets or partitions of the transaction exceed a bound.
	ErrTxnTooLarge = errors.New("the transaction is too large")
	// ErrTxnExhausted: no producer id was given although a new one is needed. Ask again with one.
	ErrTxnExhausted = errors.New("the producer's epochs are used up")
)

// TxnRequest is one of the requests below.
type TxnRequest interface{ transactionalID() string }

// InitTxn gives a transactional id a producer id and epoch of its own, and aborts what is open, in one entry.
type InitTxn struct {
	ID       string
	Timeout  time.Duration
	Producer ProducerID    // that the client believes it has (KIP-360), or NoProducerID
	Epoch    ProducerEpoch // with it; -1 if it has none
	Fresh    ProducerID    // never used: taken if the id is unknown or its epochs are used up
	AsOf     Seq           // ErrTxnMoved if the epoch was raised after it and no Producer is named; 0: whatever was
}

// AddToTxn registers partitions and groups with the transaction, and begins it if it is not ongoing (AddPartitionsToTxn
// and AddOffsetsToTxn). Unknown partitions make it ErrUnknownPartition, and nothing is added.
type AddToTxn struct {
	ID         string
	Producer   ProducerID
	Epoch      ProducerEpoch
	Partitions []TopicPartition
	Groups     []string
	Number     TxnNumber
}

// CommitTxnOffsets keeps offsets that become the group's when the transaction is committed. With Implicit it begins the
// transaction and adds the group, if need be (transaction version 2). Under a claim of the group that is not the latest it
// is refused with ErrFenced.
type CommitTxnOffsets struct {
	ID       string
	Producer ProducerID
	Epoch    ProducerEpoch
	Group    string
	Claim    GroupEpoch
	Offsets  []CommittedOffset
	Implicit bool
	Number   TxnNumber
	AsOf     Seq // ErrTxnMoved if the transaction got other offsets after it: these are older; 0: whatever it got
}

// EndTxn commits or aborts. Version 2 raises the epoch. Asked again it returns the first outcome.
type EndTxn struct {
	ID       string
	Producer ProducerID
	Epoch    ProducerEpoch
	Commit   bool
	Version  int8 // 1 or 2
	Number   TxnNumber
	Fresh    ProducerID // taken if version 2 has used up the epochs; NoProducerID: ErrTxnExhausted then
}

// AbortTxn aborts whatever is open and raises the epoch, so that the producer is fenced: after a time-out, or for an
// administrator. A producer of version 2 may end its transaction as if it asked again: it is told of the epoch after an
// abort, and cannot commit. Nothing happens unless the transaction of that number is still ongoing.
type AbortTxn struct {
	ID     string
	Number TxnNumber
}

// ForgetTxn removes a transactional id that is not ongoing, unless its number or epoch changed.
type ForgetTxn struct {
	ID     string
	Epoch  ProducerEpoch
	Number TxnNumber
}

func (r InitTxn) transactionalID() string          { return r.ID }
func (r AddToTxn) transactionalID() string         { return r.ID }
func (r CommitTxnOffsets) transactionalID() string { return r.ID }
func (r EndTxn) transactionalID() string           { return r.ID }
func (r AbortTxn) transactionalID() string         { return r.ID }
func (r ForgetTxn) transactionalID() string        { return r.ID }

// TxnResult is what came of a request: Err, or the producer as it is after it.
type TxnResult struct {
	Producer ProducerID
	Epoch    ProducerEpoch
	Err      error
}

// Marker is a run without an object: the control batch that ends a transaction in a partition. The reader makes its bytes.
type Marker struct {
	Producer ProducerID
	Epoch    ProducerEpoch
	Commit   bool
}

// MarkerBytes is the length of a control batch.
const MarkerBytes = 78

// AbortedTxn is what read_committed consumers skip: the batches of Producer from First on, until the marker at Last.
type AbortedTxn struct {
	Producer    ProducerID
	First, Last Offset
}

// PartitionProducer is a producer that a partition knows.
type PartitionProducer struct {
	Producer     ProducerID
	Epoch        ProducerEpoch
	LastSequence int32 // -1 if unknown
	LastSeen     time.Time
	TxnStart     Offset // of its open transaction, or -1
}
