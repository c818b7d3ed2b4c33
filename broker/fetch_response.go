package broker

import (
	"encoding/binary"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/batching/reader"
	"github.com/runnel-io/runnel/metastore"
)

// fetchedPartition is what a Fetch answers for one partition.
type fetchedPartition struct {
	fetchPartition
	err           *kerr.Error
	highWatermark int64 // with stable and logStart, -1 if unknown
	stable        int64
	logStart      int64
	diverging     *int64                 // end of epoch 0, if the client has a later epoch (KIP-595)
	nearer        *int32                 // the broker that the client should ask in place of this one, which gives it no records
	records       [][]byte               // batches back to back
	size          int                    // bytes of records
	aborted       []metastore.AbortedTxn // that overlap the records
}

// failed is the row of an error.
func (p fetchPartition) failed(err *kerr.Error) fetchedPartition {
	return fetchedPartition{fetchPartition: p, err: err, highWatermark: -1, stable: -1, logStart: -1}
}

// unknown tells that there is no such partition; its aborted transactions are an empty list, whatever the isolation.
func (row *fetchedPartition) unknown() bool {
	return row.err == kerr.UnknownTopicOrPartition || row.err == kerr.UnknownTopicID
}

func (row *fetchedPartition) at(w metastore.Watermarks) {
	row.highWatermark, row.stable, row.logStart = int64(w.High), int64(w.Stable), int64(w.LogStart)
}

// fetchResponse is a kmsg.FetchResponse that refers to record bytes where they lie, instead of copying them into the
// answer. Of the embedded response it uses what stands above the topics.
type fetchResponse struct {
	*kmsg.FetchResponse
	rows      []fetchedPartition // neighbors of the same topic are answered together
	committed bool               // read_committed: aborted transactions are a list, else null
	fetched   *reader.Fetched    // the memory of the records; nil if there are none
}

// Release implements wire.Releaser.
func (r *fetchResponse) Release() {
	if r.fetched != nil {
		r.fetched.Release()
	}
}

// AppendTo implements kmsg.Response. It copies the records.
func (r *fetchResponse) AppendTo(dst []byte) []byte {
	for _, b := range r.AppendSegments(nil) {
		dst = append(dst, b...)
	}
	return dst
}

// AppendSegments implements wire.Segmented.
func (r *fetchResponse) AppendSegments(dst [][]byte) [][]byte {
	e := fetchEncoder{version: r.Version, flexible: r.IsFlexible()}
	e.buf = make([]byte, 0, 64+96*len(r.rows))
	e.int32(r.ThrottleMillis)
	if e.version >= 7 {
		e.int16(r.ErrorCode)
		e.int32(r.SessionID)
	}
	topics := 0
	for i := range r.rows {
		if i == 0 || !sameTopic(&r.rows[i-1], &r.rows[i]) {
			topics++
		}
	}
	e.count(topics)
	for i := 0; i < len(r.rows); {
		n := 1
		for i+n < len(r.rows) && sameTopic(&r.rows[i], &r.rows[i+n]) {
			n++
		}
		e.topic(r.rows[i:i+n], r.committed)
		i += n
	}
	e.noTags()
	return e.segments(dst)
}

func sameTopic(a, b *fetchedPartition) bool { return a.topic == b.topic && a.id == b.id }

// fetchEncoder writes everything but records into buf, and notes where they belong.
type fetchEncoder struct {
	version  int16
	flexible bool
	buf      []byte
	cuts     []fetchCut
}

type fetchCut struct {
	at      int // records stand before buf[at]
	records [][]byte
}

func (e *fetchEncoder) topic(rows []fetchedPartition, committed bool) {
	if e.version >= 13 {
		e.buf = append(e.buf, rows[0].id[:]...)
	} else {
		e.string(rows[0].topic)
	}
	e.count(len(rows))
	for i := range rows {
		e.partition(&rows[i], committed)
	}
	e.noTags()
}

func (e *fetchEncoder) partition(row *fetchedPartition, committed bool) {
	e.int32(row.partition)
	if row.err != nil {
		e.int16(row.err.Code)
	} else {
		e.int16(0)
	}
	e.int64(row.highWatermark)
	e.int64(row.stable)
	if e.version >= 5 {
		e.int64(row.logStart)
	}
	if committed || row.unknown() {
		e.aborted(row.aborted)
	} else {
		e.null()
	}
	if e.version >= 11 {
		preferred := int32(-1)
		if row.nearer != nil {
			preferred = *row.nearer
		}
		e.int32(preferred)
	}
	e.count(row.size)
	if row.size > 0 {
		e.cuts = append(e.cuts, fetchCut{at: len(e.buf), records: row.records})
	}
	if row.diverging == nil || !e.flexible {
		e.noTags()
		return
	}
	e.buf = append(e.buf, 1, 0, 13) // one tag: 0, of 13 bytes
	e.int32(0)
	e.int64(*row.diverging)
	e.noTags()
}

func (e *fetchEncoder) aborted(txns []metastore.AbortedTxn) {
	e.count(len(txns))
	for i := range txns {
		e.int64(int64(txns[i].Producer))
		e.int64(int64(txns[i].First))
		e.noTags()
	}
}

// segments appends buf, cut where records belong, and the records.
func (e *fetchEncoder) segments(dst [][]byte) [][]byte {
	from := 0
	for _, c := range e.cuts {
		dst = append(dst, e.buf[from:c.at])
		dst = append(dst, c.records...)
		from = c.at
	}
	return append(dst, e.buf[from:])
}

func (e *fetchEncoder) int16(v int16) { e.buf = binary.BigEndian.AppendUint16(e.buf, uint16(v)) }
func (e *fetchEncoder) int32(v int32) { e.buf = binary.BigEndian.AppendUint32(e.buf, uint32(v)) }
func (e *fetchEncoder) int64(v int64) { e.buf = binary.BigEndian.AppendUint64(e.buf, uint64(v)) }

// count is the length of an array or of bytes.
func (e *fetchEncoder) count(n int) {
	if e.flexible {
		e.buf = binary.AppendUvarint(e.buf, uint64(n)+1)
	} else {
		e.int32(int32(n))
	}
}

// null is an array that is not there.
func (e *fetchEncoder) null() {
	if e.flexible {
		e.buf = append(e.buf, 0)
	} else {
		e.int32(-1)
	}
}

func (e *fetchEncoder) string(s string) {
	if e.flexible {
		e.count(len(s))
	} else {
		e.int16(int16(len(s)))
	}
	e.buf = append(e.buf, s...)
}

func (e *fetchEncoder) noTags() {
	if e.flexible {
		e.buf = append(e.buf, 0)
	}
}
