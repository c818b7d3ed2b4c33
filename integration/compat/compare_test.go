package compat

import (
	"bytes"
	"slices"
	"testing"
)

// TestComparisonsNotice: the comparisons that all other tests rest on see what they are for.
func TestComparisonsNotice(t *testing.T) {
	sent := Generate(500, 0, 1_700_000_000_000, full)
	stored := make([]Record, len(sent))
	next := map[int32]int64{}
	for i, r := range sent {
		for _, b := range r.Key {
			r.Partition += int32(b)
		}
		r.Partition %= 3
		r.Offset = next[r.Partition]
		next[r.Partition]++
		stored[i] = r
	}
	keyed := slices.IndexFunc(stored, func(r Record) bool { return len(r.Key) > 0 && len(r.Headers) > 0 })
	for name, spoil := range map[string]func(r []Record) []Record{
		"nothing":            func(r []Record) []Record { return r },
		"a lost record":      func(r []Record) []Record { return r[1:] },
		"a repeated record":  func(r []Record) []Record { return append(r[:len(r)-1:len(r)-1], r[keyed]) },
		"a changed value":    func(r []Record) []Record { r[keyed].Value = []byte("other"); return r },
		"null for empty":     func(r []Record) []Record { i := emptyValue(r); r[i].Value = nil; return r },
		"a changed time":     func(r []Record) []Record { r[keyed].Timestamp++; return r },
		"a lost header":      func(r []Record) []Record { r[keyed].Headers = nil; return r },
		"a changed header":   func(r []Record) []Record { r[keyed].Headers = []Header{{"h0", []byte("x")}}; return r },
		"another partition":  moveOne,
		"two in wrong order": swapOfOneKey,
	} {
		t.Run(name, func(t *testing.T) {
			err := CheckSent(sent, spoil(slices.Clone(stored)), true)
			if (err != nil) != (name != "nothing") {
				t.Errorf("CheckSent: %v", err)
			}
		})
	}
}

func emptyValue(r []Record) int {
	return slices.IndexFunc(r, func(r Record) bool { return r.Value != nil && len(r.Value) == 0 })
}

// pairOfOneKey finds two records of a key.
func pairOfOneKey(r []Record) (i, j int) {
	for i := range r {
		if len(r[i].Key) == 0 {
			continue
		}
		for j := i + 1; j < len(r); j++ {
			if bytes.Equal(r[i].Key, r[j].Key) {
				return i, j
			}
		}
	}
	panic("no two records of one key")
}

func moveOne(r []Record) []Record {
	_, j := pairOfOneKey(r)
	r[j].Partition += 3
	return r
}

func swapOfOneKey(r []Record) []Record {
	i, j := pairOfOneKey(r)
	r[i].Offset, r[j].Offset = r[j].Offset, r[i].Offset
	return r
}

func TestLinesMustBeAllAndInOrder(t *testing.T) {
	reference := []Record{{Offset: 0, Value: []byte("a")}, {Offset: 1, Value: []byte("b")}, {Partition: 1, Value: []byte("c")}}
	render := func(r Record) string { return r.Content(true) }
	good := make([]Line, len(reference))
	for i, r := range reference {
		good[i] = Line{r.Partition, r.Offset, render(r)}
	}
	for name, lines := range map[string][]Line{
		"all":                 good,
		"partitions mixed":    {good[2], good[0], good[1]},
		"wrong order":         {good[1], good[0], good[2]},
		"one twice":           {good[0], good[0], good[2]},
		"one missing":         good[:2],
		"one changed":         {good[0], {0, 1, "b"}, good[2]},
		"one that was unsent": {good[0], good[1], {2, 0, good[2].Text}},
	} {
		t.Run(name, func(t *testing.T) {
			err := CheckLines(reference, render, lines)
			if (err != nil) != (name != "all" && name != "partitions mixed") {
				t.Errorf("CheckLines: %v", err)
			}
		})
	}
}
