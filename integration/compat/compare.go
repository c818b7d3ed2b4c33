package compat

import (
	"cmp"
	"fmt"
	"slices"
)

// CheckSent says whether read holds exactly the records that were sent: per key the same sequence, in one partition;
// records without a key, which have no order among partitions, as a set, and so those with an empty key, which
// librdkafka scatters like null. Timestamps count if the producer set them.
func CheckSent(sent, read []Record, timestamps bool) error {
	if len(sent) != len(read) {
		return fmt.Errorf("sent %d records, read %d", len(sent), len(read))
	}
	read = slices.Clone(read)
	slices.SortFunc(read, byOffset)
	partition := map[string]int32{}
	for _, r := range read {
		if len(r.Key) == 0 {
			continue
		}
		if p, ok := partition[string(r.Key)]; ok && p != r.Partition {
			return fmt.Errorf("key %q is in partitions %d and %d", r.Key, p, r.Partition)
		}
		partition[string(r.Key)] = r.Partition
	}
	want, got := byKey(sent, timestamps), byKey(read, timestamps)
	for key, contents := range want {
		if err := sameSequence(contents, got[key]); err != nil {
			return fmt.Errorf("records of key %s: %w", key, err)
		}
	}
	return nil
}

func byKey(records []Record, timestamps bool) map[string][]string {
	keys := map[string][]string{}
	for _, r := range records {
		k := "null"
		if r.Key != nil {
			k = fmt.Sprintf("%q", r.Key)
		}
		keys[k] = append(keys[k], r.Content(timestamps))
	}
	slices.Sort(keys["null"])
	slices.Sort(keys[`""`])
	return keys
}

func sameSequence(want, got []string) error {
	if len(want) != len(got) {
		return fmt.Errorf("sent %d, read %d", len(want), len(got))
	}
	for i := range want {
		if want[i] != got[i] {
			return fmt.Errorf("number %d of %d\nsent %s\nread %s", i, len(want), want[i], got[i])
		}
	}
	return nil
}

// CheckDense says whether the offsets of every partition run from 0 without a gap.
func CheckDense(read []Record) error {
	sorted := slices.SortedFunc(slices.Values(read), byOffset)
	next := map[int32]int64{}
	for _, r := range sorted {
		if r.Offset != next[r.Partition] {
			return fmt.Errorf("partition %d: offset %d follows %d", r.Partition, r.Offset, next[r.Partition]-1)
		}
		next[r.Partition]++
	}
	return nil
}

func byOffset(a, b Record) int {
	return cmp.Or(cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.Offset, b.Offset))
}

// CheckLines says whether a consumer printed exactly the reference records, each partition in order of offsets.
func CheckLines(reference []Record, render func(Record) string, got []Line) error {
	if len(got) != len(reference) {
		return fmt.Errorf("read %d records of %d", len(got), len(reference))
	}
	last := map[int32]int64{}
	for _, l := range got {
		if before, ok := last[l.Partition]; ok && l.Offset <= before {
			return fmt.Errorf("partition %d: offset %d came after %d", l.Partition, l.Offset, before)
		}
		last[l.Partition] = l.Offset
	}
	type place struct {
		partition int32
		offset    int64
	}
	want := make(map[place]Record, len(reference))
	for _, r := range reference {
		want[place{r.Partition, r.Offset}] = r
	}
	for _, l := range got {
		r, ok := want[place{l.Partition, l.Offset}]
		if !ok {
			return fmt.Errorf("read %d/%d, which does not exist", l.Partition, l.Offset)
		}
		if text := render(r); text != l.Text {
			return fmt.Errorf("record %d/%d\nwant %s\nread %s", l.Partition, l.Offset, text, l.Text)
		}
	}
	return nil
}
