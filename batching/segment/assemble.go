package segment

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"slices"
	"time"
)

// Assemble lays out the object of a segment: its bytes are the concatenation of object, whose elements are a header,
// the batches' own slices and a footer. Parts may come in any order and are not changed. ErrInvalid, ErrTooLarge.
//
// It is of tier 0, and so must id be.
func Assemble(id [16]byte, created time.Time, parts []Part) (object [][]byte, index Index, err error) {
	if Tier(id) != 0 {
		return nil, Index{}, fmt.Errorf("%w: the id is one of tier %d", ErrInvalid, Tier(id))
	}
	parts = slices.Clone(parts)
	slices.SortFunc(parts, func(a, b Part) int {
		return cmp.Or(bytes.Compare(a.Topic[:], b.Topic[:]), cmp.Compare(a.Partition, b.Partition))
	})
	batches := 0
	for i, p := range parts {
		if len(p.Batches) == 0 {
			return nil, Index{}, fmt.Errorf("%w: partition without batches", ErrInvalid)
		}
		if i > 0 && p.Topic == parts[i-1].Topic && p.Partition == parts[i-1].Partition {
			return nil, Index{}, fmt.Errorf("%w: partition twice", ErrInvalid)
		}
		batches += len(p.Batches)
	}

	created = time.UnixMilli(created.UnixMilli())
	index = Index{ID: id, Created: created, Runs: make([]Run, 0, len(parts))}
	object = make([][]byte, 0, batches+2)
	object = append(object, appendHeader(make([]byte, 0, HeaderSize), Version, id, created))
	position := int64(HeaderSize)
	for _, p := range parts {
		run, length, err := makeRun(p, position)
		if err != nil {
			return nil, Index{}, err
		}
		for _, b := range p.Batches {
			object = append(object, b.Bytes)
		}
		position += length
		index.Runs = append(index.Runs, run)
	}
	footer := appendFooter(nil, index)
	index.Size = position + int64(len(footer))
	if index.Size > maxSize {
		return nil, Index{}, fmt.Errorf("%w: %d bytes", ErrTooLarge, index.Size)
	}
	return append(object, footer), index, nil
}

// makeRun describes p as it will lie at position, and tells its length.
func makeRun(p Part, position int64) (Run, int64, error) {
	run := Run{Topic: p.Topic, Partition: p.Partition, MaxTimestamp: math.MinInt64,
		Batches: uint32(len(p.Batches)), Chains: chains(p.Batches)}
	length, records := int64(0), int64(0)
	for _, b := range p.Batches {
		if len(b.Bytes) == 0 || b.Records <= 0 || b.ProducerID >= 0 && b.BaseSequence < 0 {
			return Run{}, 0, fmt.Errorf("%w: batch of %d bytes with %d records, sequence %d", ErrInvalid, len(b.Bytes), b.Records, b.BaseSequence)
		}
		length += int64(len(b.Bytes))
		records += int64(b.Records)
		run.MaxTimestamp = max(run.MaxTimestamp, b.MaxTimestamp)
		run.CRC = crc32.Update(run.CRC, castagnoli, b.Bytes)
	}
	if position+length > maxSize || records > math.MaxUint32 {
		return Run{}, 0, fmt.Errorf("%w: run of %d bytes and %d records at %d", ErrTooLarge, length, records, position)
	}
	run.Position, run.Length, run.Records = uint32(position), uint32(length), uint32(records)
	return run, length, nil
}

// chains finds the sequences of each producer among batches.
func chains(batches []Batch) []Chain {
	var c Chains
	for _, b := range batches {
		c.Add(b)
	}
	return c.Found()
}

// Chains finds the sequences of each producer among the batches of a run. The zero value is ready.
type Chains struct {
	found  []Chain
	newest map[int64]int // by producer: index in found
}

// Add takes the next batch of the run, whose bytes do not matter. It goes on its producer's newest chain if its epoch is the
// same and its sequence the next; else it begins another.
func (c *Chains) Add(b Batch) {
	if b.ProducerID < 0 {
		return
	}
	last := int32((int64(b.BaseSequence) + int64(b.Records) - 1) & math.MaxInt32)
	if i, ok := c.newest[b.ProducerID]; ok {
		on := &c.found[i]
		if next := int32((int64(on.LastSequence) + 1) & math.MaxInt32); on.Epoch == b.ProducerEpoch && next == b.BaseSequence {
			on.LastSequence = last
			on.Batches++
			return
		}
	}
	if c.newest == nil {
		c.newest = make(map[int64]int)
	}
	c.newest[b.ProducerID] = len(c.found)
	c.found = append(c.found, Chain{ProducerID: b.ProducerID, Epoch: b.ProducerEpoch,
		FirstSequence: b.BaseSequence, LastSequence: last, Batches: 1})
}

// Found returns the chains in the order of their first batch; nil if no batch has a producer.
func (c *Chains) Found() []Chain { return c.found }

func appendHeader(b []byte, version uint16, id [16]byte, created time.Time) []byte {
	be := binary.BigEndian
	b = append(b, headerMagic...)
	b = be.AppendUint16(b, version)
	b = be.AppendUint16(b, 0)
	b = append(b, id[:]...)
	b = be.AppendUint64(b, uint64(created.UnixMilli()))
	return be.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

func appendFooter(b []byte, index Index) []byte {
	be := binary.BigEndian
	size := footerStart + len(index.Runs)*runSize + trailerSize
	for _, r := range index.Runs {
		size += len(r.Chains) * chainSize
	}
	b = slices.Grow(b, size)
	b = appendFooterStart(b, &index)
	for _, r := range index.Runs {
		b = appendExtent(b, &r)
		b = be.AppendUint32(b, uint32(len(r.Chains)))
		for _, c := range r.Chains {
			b = be.AppendUint64(b, uint64(c.ProducerID))
			b = be.AppendUint16(b, uint16(c.Epoch))
			b = be.AppendUint32(b, uint32(c.FirstSequence))
			b = be.AppendUint32(b, uint32(c.LastSequence))
			b = be.AppendUint32(b, c.Batches)
		}
	}
	return appendTrailer(b, Version)
}

func appendFooterStart(b []byte, index *Index) []byte {
	be := binary.BigEndian
	b = append(b, index.ID[:]...)
	b = be.AppendUint64(b, uint64(index.Created.UnixMilli()))
	return be.AppendUint32(b, uint32(len(index.Runs)))
}

// appendExtent appends what runs of both tiers begin with.
func appendExtent(b []byte, r *Run) []byte {
	be := binary.BigEndian
	b = append(b, r.Topic[:]...)
	b = be.AppendUint32(b, uint32(r.Partition))
	b = be.AppendUint32(b, r.Position)
	b = be.AppendUint32(b, r.Length)
	b = be.AppendUint32(b, r.Batches)
	b = be.AppendUint32(b, r.Records)
	b = be.AppendUint64(b, uint64(r.MaxTimestamp))
	return be.AppendUint32(b, r.CRC)
}

// appendTrailer completes b, which is a footer.
func appendTrailer(b []byte, version uint16) []byte {
	be := binary.BigEndian
	length := len(b)
	b = be.AppendUint32(b, uint32(length))
	b = be.AppendUint16(b, version)
	b = be.AppendUint16(b, 0)
	b = be.AppendUint32(b, crc32.Checksum(b, castagnoli))
	return append(b, trailerMagic...)
}
