package metastore

import (
	"encoding/binary"
	"fmt"
	"math"
	"time"
)

// txnRequestVersion is the version of the formats of transaction requests and results between brokers. See FORMAT.md.
const txnRequestVersion = 1

// Kinds of requests. The numbers are part of the format.
const (
	requestInit byte = 1 + iota
	requestAdd
	requestOffsets
	requestEnd
	requestAbort
	requestForget
	requestInitAsOf    // init and
	requestOffsetsAsOf // commit offsets, with a position
)

// AppendTxnRequests appends the encoding of requests, for the broker that appends on behalf of others.
func AppendTxnRequests(b []byte, requests []TxnRequest) []byte {
	b = append(b, txnRequestVersion)
	b = binary.AppendUvarint(b, uint64(len(requests)))
	for _, r := range requests {
		switch r := r.(type) {
		case InitTxn:
			b = appendString(append(b, kindAsOf(requestInit, requestInitAsOf, r.AsOf)), r.ID)
			b = binary.AppendVarint(b, r.Timeout.Milliseconds())
			b = appendProducer(b, r.Producer, r.Epoch)
			b = binary.AppendVarint(b, int64(r.Fresh))
			b = appendAsOf(b, r.AsOf)
		case AddToTxn:
			b = appendString(append(b, requestAdd), r.ID)
			b = appendProducer(b, r.Producer, r.Epoch)
			b = binary.AppendVarint(b, int64(r.Number))
			b = binary.AppendUvarint(b, uint64(len(r.Partitions)))
			for _, tp := range r.Partitions {
				b = tp.append(b)
			}
			b = appendStrings(b, r.Groups)
		case CommitTxnOffsets:
			b = r.append(append(b, kindAsOf(requestOffsets, requestOffsetsAsOf, r.AsOf)))
			b = appendAsOf(b, r.AsOf)
		case EndTxn:
			b = appendString(append(b, requestEnd), r.ID)
			b = appendProducer(b, r.Producer, r.Epoch)
			b = append(b, flag(r.Commit), byte(r.Version))
			b = binary.AppendVarint(b, int64(r.Number))
			b = binary.AppendVarint(b, int64(r.Fresh))
		case AbortTxn:
			b = appendString(append(b, requestAbort), r.ID)
			b = binary.AppendVarint(b, int64(r.Number))
		case ForgetTxn:
			b = appendString(append(b, requestForget), r.ID)
			b = binary.AppendVarint(b, int64(r.Epoch))
			b = binary.AppendVarint(b, int64(r.Number))
		}
	}
	return b
}

func (r *CommitTxnOffsets) append(b []byte) []byte {
	b = appendString(b, r.ID)
	b = appendProducer(b, r.Producer, r.Epoch)
	b = binary.AppendVarint(b, int64(r.Number))
	b = appendString(b, r.Group)
	b = binary.AppendVarint(b, int64(r.Claim))
	b = append(b, flag(r.Implicit))
	b = binary.AppendUvarint(b, uint64(len(r.Offsets)))
	for i := range r.Offsets {
		b = r.Offsets[i].TopicPartition.append(b)
		b = r.Offsets[i].append(b)
	}
	return b
}

// kindAsOf is the kind of a request without a position, or with one.
func kindAsOf(without, with byte, asOf Seq) byte {
	if asOf == 0 {
		return without
	}
	return with
}

func appendAsOf(b []byte, asOf Seq) []byte {
	if asOf == 0 {
		return b
	}
	return binary.AppendUvarint(b, uint64(asOf))
}

func (d *decoder) asOf() Seq {
	asOf := Seq(d.uvarintMax(math.MaxInt64, "position"))
	if asOf == 0 {
		d.fail("position")
	}
	return asOf
}

func flag(set bool) byte {
	if set {
		return 1
	}
	return 0
}

func appendProducer(b []byte, id ProducerID, epoch ProducerEpoch) []byte {
	return binary.AppendVarint(binary.AppendVarint(b, int64(id)), int64(epoch))
}

func (tp TopicPartition) append(b []byte) []byte {
	return binary.AppendUvarint(append(b, tp.Topic[:]...), uint64(tp.Partition))
}

// DecodeTxnRequests reads what AppendTxnRequests wrote. ErrCorrupt, ErrNewerFormat.
func DecodeTxnRequests(b []byte) ([]TxnRequest, error) {
	d := &decoder{b: b}
	if v := d.byte(); d.err == nil && v != txnRequestVersion {
		return nil, fmt.Errorf("%w: transaction request version %d", ErrNewerFormat, v)
	}
	requests := make([]TxnRequest, d.count(3, "requests"))
	for i := range requests {
		kind := d.byte()
		if d.err == nil && (kind < requestInit || kind > requestOffsetsAsOf) {
			return nil, fmt.Errorf("%w: transaction request %d", ErrNewerFormat, kind)
		}
		requests[i] = d.txnRequest(kind)
		if d.err != nil {
			break
		}
	}
	if err := d.end(); err != nil {
		return nil, fmt.Errorf("transaction requests: %w", err)
	}
	return requests, nil
}

func (d *decoder) txnRequest(kind byte) TxnRequest {
	id := d.string()
	switch kind {
	case requestInit, requestInitAsOf:
		const longest = math.MaxInt64 / int64(time.Millisecond)
		r := InitTxn{ID: id, Timeout: time.Duration(d.within(-longest, longest, "timeout")) * time.Millisecond}
		r.Producer, r.Epoch = d.knownProducer()
		r.Fresh = ProducerID(d.varint())
		if kind == requestInitAsOf {
			r.AsOf = d.asOf()
		}
		return r
	case requestAdd:
		r := AddToTxn{ID: id}
		r.Producer, r.Epoch = d.knownProducer()
		r.Number = TxnNumber(d.varint())
		if n := d.count(17, "partitions"); n > 0 {
			r.Partitions = make([]TopicPartition, n)
		}
		for i := range r.Partitions {
			r.Partitions[i] = d.topicPartition()
		}
		r.Groups = d.strings()
		return r
	case requestOffsets:
		return d.txnOffsets(id)
	case requestOffsetsAsOf:
		r := d.txnOffsets(id)
		r.AsOf = d.asOf()
		return r
	case requestEnd:
		r := EndTxn{ID: id}
		r.Producer, r.Epoch = d.knownProducer()
		r.Commit, r.Version = d.flag(), int8(d.uvarintMax(math.MaxInt8, "version"))
		r.Number, r.Fresh = TxnNumber(d.varint()), ProducerID(d.varint())
		return r
	case requestAbort:
		return AbortTxn{ID: id, Number: TxnNumber(d.varint())}
	}
	return ForgetTxn{ID: id, Epoch: d.producerEpoch(), Number: TxnNumber(d.varint())}
}

func (d *decoder) txnOffsets(id string) CommitTxnOffsets {
	r := CommitTxnOffsets{ID: id}
	r.Producer, r.Epoch = d.knownProducer()
	r.Number = TxnNumber(d.varint())
	r.Group = d.string()
	r.Claim = GroupEpoch(d.varint())
	r.Implicit = d.flag()
	if n := d.count(22, "offsets"); n > 0 {
		r.Offsets = make([]CommittedOffset, n)
	}
	for i := range r.Offsets {
		tp := d.topicPartition()
		r.Offsets[i] = d.committedOffset(tp)
	}
	return r
}

func (d *decoder) flag() bool { return d.uvarintMax(1, "flag") != 0 }

// within reads a number that is in a range.
func (d *decoder) within(least, most int64, what string) int64 {
	v := d.varint()
	if v < least || v > most {
		d.fail(what)
		return 0
	}
	return v
}

func (d *decoder) producerEpoch() ProducerEpoch {
	return ProducerEpoch(d.within(math.MinInt16, math.MaxInt16, "producer epoch"))
}

func (d *decoder) knownProducer() (ProducerID, ProducerEpoch) {
	return ProducerID(d.varint()), d.producerEpoch()
}

func (d *decoder) topicPartition() TopicPartition {
	return TopicPartition{d.uuid(), int32(d.uvarintMax(math.MaxInt32, "partition"))}
}

// AppendTxnResults appends the encoding of the results of requests, and a position of the log that holds them.
func AppendTxnResults(b []byte, through Seq, results []TxnResult) []byte {
	b = append(b, txnRequestVersion)
	b = binary.AppendUvarint(b, uint64(through))
	return appendTxnResults(b, results)
}

// DecodeTxnResults reads what AppendTxnResults wrote. ErrCorrupt, ErrNewerFormat.
func DecodeTxnResults(b []byte) (through Seq, results []TxnResult, err error) {
	d := &decoder{b: b}
	if v := d.byte(); d.err == nil && v != txnRequestVersion {
		return 0, nil, fmt.Errorf("%w: transaction result version %d", ErrNewerFormat, v)
	}
	through = Seq(d.uvarintMax(math.MaxInt64, "seq"))
	results = decodeTxnResults(d)
	if err := d.end(); err != nil {
		return 0, nil, fmt.Errorf("transaction results: %w", err)
	}
	return through, results, nil
}
