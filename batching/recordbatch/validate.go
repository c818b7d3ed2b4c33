package recordbatch

import (
	"errors"
	"fmt"
	"math"
)

// Reason says why a batch is refused.
type Reason uint8

// The reasons.
const (
	CorruptMessage         Reason = iota + 1 // the bytes are damaged: CRC, impossible size, unknown magic
	InvalidRecord                            // intact, but not what a producer may send
	TooLarge                                 // more bytes than the topic takes
	InvalidTimestamp                         // outside the bounds, or a claim to be the broker's
	UnsupportedCompression                   // a codec that is unknown, or zstd where the request's version forbids it
)

func (r Reason) String() string {
	switch r {
	case CorruptMessage:
		return "corrupt message"
	case InvalidRecord:
		return "invalid record"
	case TooLarge:
		return "too large"
	case InvalidTimestamp:
		return "invalid timestamp"
	case UnsupportedCompression:
		return "unsupported compression"
	}
	return "unknown"
}

// Refusal is the error of Validate.
type Refusal struct {
	Reason     Reason
	BatchIndex int32   // index of the first record at fault in the batch, -1 if it is the batch
	Others     []int32 // indexes of further records with the same fault
	Message    string  // for the producer
}

func (r *Refusal) Error() string {
	if r.BatchIndex >= 0 {
		return fmt.Sprintf("%s: record %d: %s", r.Reason, r.BatchIndex, r.Message)
	}
	return fmt.Sprintf("%s: %s", r.Reason, r.Message)
}

func refuse(reason Reason, format string, args ...any) *Refusal {
	return &Refusal{Reason: reason, BatchIndex: -1, Message: fmt.Sprintf(format, args...)}
}

// Rules are what a topic and the version of a Produce request demand of a batch.
type Rules struct {
	MaxBytes      int32 // of the whole batch (max.message.bytes)
	LogAppendTime bool  // message.timestamp.type: the caller will SetLogAppendTime, so the bounds do not apply
	Now           int64 // ms since the epoch
	BeforeMax     int64 // ms that a timestamp may lie before Now (message.timestamp.before.max.ms)
	AfterMax      int64 // ms that a timestamp may lie after Now (message.timestamp.after.max.ms)
	Compacted     bool  // cleanup.policy: every record needs a key
	ZstdAllowed   bool  // Produce v7 and later
}

// maxInflated bounds what is looked through in a compressed batch for a compacted topic: as much as could have been
// sent uncompressed in the largest request (socket.request.max.bytes).
const maxInflated = 100 << 20

// Validate checks b, the records of one partition in a Produce request, in the order in which Kafka does. Its errors
// are Refusals. A batch that passes takes exactly Records offsets.
//
// Where Kafka corrects, so does Validate: a max timestamp that is not that of the (uncompressed) records is replaced in
// b, with a new CRC. That is the only thing that it writes.
//
// Where it differs from Kafka: compressed records are not decompressed, except for a compacted topic. So their count,
// offset deltas and timestamps are believed as the header tells them, the bounds apply to the max timestamp alone, and
// of the codec only the frame's first bytes are checked. A producer that lies there harms the readers of its own
// partition, who get an error from their client, and nobody else: the broker looks into the batch once more at most,
// for a search by time, and that search then fails or misses. Bytes after the batch are refused, Kafka drops them.
func Validate(b []byte, rules Rules) (Header, error) {
	h, r := checkFrame(b, rules)
	if r == nil {
		r = checkHeader(b, h)
	}
	if r == nil {
		r = checkContent(b, &h, rules)
	}
	if r != nil {
		return h, r
	}
	return h, nil
}

// checkFrame looks at what must hold before the CRC is worth computing.
func checkFrame(b []byte, rules Rules) (Header, *Refusal) {
	if len(b) <= magicAt {
		return Header{}, refuse(InvalidRecord, "%d bytes hold no record batch", len(b))
	}
	var whole [HeaderSize]byte // so that short input can be decoded too
	copy(whole[:], b)
	h := decodeHeader(whole[:])
	size := int64(h.Length) + lengthStart
	switch {
	case h.Length < 14: // the smallest message of any version
		return h, refuse(CorruptMessage, "batch length %d", h.Length)
	case h.Magic < 0 || h.Magic > Magic:
		return h, refuse(CorruptMessage, "unknown magic %d", h.Magic)
	case size > int64(len(b)):
		return h, refuse(InvalidRecord, "batch of %d bytes ends after %d", size, len(b))
	case h.Magic < Magic:
		return h, refuse(InvalidRecord, "record batch has magic %d, only 2 is supported", h.Magic)
	case size+lengthStart <= int64(len(b)): // enough to be the beginning of another
		return h, refuse(InvalidRecord, "%d bytes after the record batch: exactly one is allowed", int64(len(b))-size)
	case h.Codec() == Zstd && !rules.ZstdAllowed:
		return h, refuse(UnsupportedCompression, "zstd needs Produce version 7 or later")
	case h.BaseOffset != 0:
		return h, refuse(InvalidRecord, "base offset is %d, must be 0", h.BaseOffset)
	case size > int64(rules.MaxBytes):
		return h, refuse(TooLarge, "batch of %d bytes exceeds the limit of %d", size, rules.MaxBytes)
	case size < HeaderSize:
		return h, refuse(CorruptMessage, "batch of %d bytes is shorter than its header", size)
	case Checksum(b[:size]) != h.CRC:
		return h, refuse(CorruptMessage, "CRC is %08x, computed %08x", h.CRC, Checksum(b[:size]))
	case size < int64(len(b)):
		return h, refuse(InvalidRecord, "%d bytes after the record batch", int64(len(b))-size)
	}
	return h, nil
}

// checkHeader looks at the fields of an intact header.
func checkHeader(b []byte, h Header) *Refusal {
	switch {
	case h.Records <= 0:
		return refuse(InvalidRecord, "batch announces %d records", h.Records)
	case int64(h.LastOffsetDelta)+1 != int64(h.Records):
		return refuse(InvalidRecord, "last offset delta is %d with %d records", h.LastOffsetDelta, h.Records)
	case h.Control():
		return refuse(InvalidRecord, "clients may not write control records")
	case h.ProducerID < -1:
		return refuse(InvalidRecord, "producer id %d", h.ProducerID)
	case h.ProducerID >= 0 && h.BaseSequence < 0:
		return refuse(InvalidRecord, "sequence %d of producer id %d", h.BaseSequence, h.ProducerID)
	case h.ProducerID >= 0 && h.ProducerEpoch < 0:
		return refuse(InvalidRecord, "epoch %d of producer id %d", h.ProducerEpoch, h.ProducerID)
	case h.Transactional() && h.ProducerID < 0:
		return refuse(InvalidRecord, "transactional batch without a producer id")
	case !h.Codec().Known():
		return refuse(UnsupportedCompression, "unknown %s", h.Codec())
	case h.LogAppendTime():
		return refuse(InvalidTimestamp, "producers may not set the timestamp type to LogAppendTime")
	case !h.Codec().looksLike(b[HeaderSize:], h.Records):
		return refuse(InvalidRecord, "the bytes are not %d records with compression %s", h.Records, h.Codec())
	}
	return nil
}

// checkContent looks at the records, as far as that is cheap or demanded.
func checkContent(b []byte, h *Header, rules Rules) *Refusal {
	if h.Codec() == None {
		latest, r := checkRecords(b[HeaderSize:], *h, rules)
		if r == nil && latest != h.MaxTimestamp && !rules.LogAppendTime {
			h.MaxTimestamp = latest
			setMaxTimestamp(b, latest)
			*h = decodeHeader(b)
		}
		return r
	}
	if !rules.timely(h.MaxTimestamp) {
		return rules.untimely(h.MaxTimestamp, -1)
	}
	if rules.Compacted {
		return checkKeys(b)
	}
	return nil
}

// checkRecords walks over uncompressed records without allocating, and returns the latest timestamp.
func checkRecords(body []byte, h Header, rules Rules) (latest int64, refusal *Refusal) {
	latest = -1
	for i := range h.Records {
		record, n, ok := nextRecord(body)
		if !ok {
			return 0, refuse(InvalidRecord, "record %d of %d is malformed", i, h.Records)
		}
		body = body[n:]
		timestamp := record.timestamp(h)
		latest = max(latest, timestamp)
		switch {
		case record.offsetDelta != i:
			refusal = blame(refusal, InvalidRecord, i, func() string { return fmt.Sprintf("offset delta is %d, must be %d", record.offsetDelta, i) })
		case rules.Compacted && record.keyLength < 0:
			refusal = blame(refusal, InvalidRecord, i, func() string { return "a compacted topic needs keys" })
		case !rules.timely(timestamp):
			refusal = blame(refusal, InvalidTimestamp, i, func() string { return rules.untimely(timestamp, i).Message })
		}
	}
	if len(body) > 0 {
		return 0, refuse(InvalidRecord, "%d bytes after the last record", len(body))
	}
	return latest, refusal
}

// checkKeys decompresses b for a compacted topic, and checks there what checkRecords does but for the timestamps.
func checkKeys(b []byte) (refusal *Refusal) {
	i := int32(0)
	for s, err := range Stamps(b, maxInflated) {
		switch {
		case errors.Is(err, ErrTooLarge):
			return refuse(InvalidRecord, "records decompress to more than %d bytes", maxInflated)
		case err != nil:
			return refuse(InvalidRecord, "cannot decompress the records: %v", err)
		case s.Offset != int64(i):
			refusal = blame(refusal, InvalidRecord, i, func() string { return fmt.Sprintf("offset delta is %d, must be %d", s.Offset, i) })
		case !s.Keyed:
			refusal = blame(refusal, InvalidRecord, i, func() string { return "a compacted topic needs keys" })
		}
		i++
	}
	return refusal
}

// blame adds record i to the refusal, or makes it one. As in Kafka, a timestamp out of bounds decides the reason of all.
func blame(r *Refusal, reason Reason, i int32, message func() string) *Refusal {
	switch {
	case r == nil:
		return &Refusal{Reason: reason, BatchIndex: i, Message: message()}
	case r.Reason == reason:
		r.Others = append(r.Others, i)
	case reason == InvalidTimestamp:
		return &Refusal{Reason: reason, BatchIndex: i, Message: message()}
	}
	return r
}

// timely says that a timestamp lies within the bounds, or that none apply to it.
func (r Rules) timely(timestamp int64) bool {
	if r.LogAppendTime || timestamp == -1 { // -1: no timestamp
		return true
	}
	return timestamp >= subtract(r.Now, r.BeforeMax) && timestamp <= add(r.Now, r.AfterMax)
}

func (r Rules) untimely(timestamp int64, i int32) *Refusal {
	return &Refusal{Reason: InvalidTimestamp, BatchIndex: i, Message: fmt.Sprintf("timestamp %d is outside [%d, %d]",
		timestamp, subtract(r.Now, r.BeforeMax), add(r.Now, r.AfterMax))}
}

// add and subtract take b >= 0 and stop at the ends of the range: the default of before.max is the largest int64.
func add(a, b int64) int64 {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}

func subtract(a, b int64) int64 {
	if a < math.MinInt64+b {
		return math.MinInt64
	}
	return a - b
}
