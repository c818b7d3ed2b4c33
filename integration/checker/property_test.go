package checker_test

import (
	"bytes"
	"flag"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/runnel-io/runnel/integration/checker"
	"github.com/runnel-io/runnel/integration/history"
)

var (
	seeds = flag.Uint64("seeds", 10, "how many histories of the model are judged")
	first = flag.Uint64("first", 0, "the seed of the first")
)

// explain gives anomalies and what happened around them.
func explain(t *testing.T, h *history.History, anomalies []checker.Anomaly) string {
	var text strings.Builder
	for _, a := range anomalies[:min(len(anomalies), 3)] {
		if err := a.Print(&text, h, 8); err != nil {
			t.Fatal(err)
		}
	}
	return text.String()
}

// Whatever is found in a history of the model is a false alarm.
func TestHistoriesOfTheModelAreSound(t *testing.T) {
	for seed := *first; seed < *first+*seeds; seed++ {
		h := runModel(seed)
		if s := history.Summarize(h); s.Acked == 0 || s.Read == 0 || s.FinallyRead == 0 || s.Committed == 0 || s.Aborted == 0 {
			t.Fatalf("seed %d: the model did nothing to speak of: %v", seed, s)
		}
		if anomalies := checker.Check(h); len(anomalies) > 0 {
			t.Fatalf("seed %d: %d anomalies\n%s", seed, len(anomalies), explain(t, h, anomalies))
		}
	}
}

func TestMutationsAreFound(t *testing.T) {
	var sound []*history.History
	for seed := *first; seed < *first+*seeds; seed++ {
		sound = append(sound, runModel(seed))
	}
	for _, m := range mutations {
		t.Run(m.name, func(t *testing.T) {
			applied := 0
			for i, original := range sound {
				seed := *first + uint64(i)
				h := clone(original)
				if !m.apply(&mutable{h, rand.New(rand.NewPCG(seed, 2))}) {
					continue
				}
				applied++
				anomalies := checker.Check(h)
				if !slices.ContainsFunc(anomalies, func(a checker.Anomaly) bool { return slices.Contains(m.want, a.Name) }) {
					t.Fatalf("seed %d: found %q, want one of %q\n%s", seed, found(h), m.want, explain(t, h, anomalies))
				}
			}
			if applied < len(sound)/4 {
				t.Errorf("of %d histories it applied to %d only", len(sound), applied)
			}
		})
	}
}

// clone copies what mutations change.
func clone(h *history.History) *history.History {
	c := *h
	c.Operations = slices.Clone(h.Operations)
	for i := range c.Operations {
		o := &c.Operations[i]
		o.Steps, o.Offsets = slices.Clone(o.Steps), slices.Clone(o.Offsets)
		for j := range o.Steps {
			s := &o.Steps[j]
			s.Read = slices.Clone(s.Read)
			if s.Send != nil {
				sent := *s.Send
				s.Send = &sent
			}
		}
		if o.Marks != nil {
			marks := *o.Marks
			o.Marks = &marks
		}
	}
	return &c
}

// reload saves a history and loads it.
func reload(t *testing.T, h *history.History) *history.History {
	t.Helper()
	var file bytes.Buffer
	if err := h.Save(&file); err != nil {
		t.Fatal(err)
	}
	loaded, err := history.Load(&file)
	if err != nil {
		t.Fatal(err)
	}
	return loaded
}

func TestCheckTellsTheSameEachTimeAndChangesNothing(t *testing.T) {
	for seed := range uint64(20) {
		h := runModel(seed)
		for _, m := range []string{"an acknowledged record is gone", "a committed transaction was to abort", "two members have a partition"} {
			i := slices.IndexFunc(mutations, func(x mutation) bool { return x.name == m })
			mutations[i].apply(&mutable{h, rand.New(rand.NewPCG(seed, 3))})
		}
		// Out of order, as a recorder that is not this one may give it.
		h.Operations[0], h.Operations[5] = h.Operations[5], h.Operations[0]
		before := clone(h)
		one, two := texts(checker.Check(h)), texts(checker.Check(reload(t, h)))
		if len(one) == 0 || !slices.Equal(one, two) {
			t.Fatalf("seed %d: told %q and then %q", seed, one, two)
		}
		if !reflect.DeepEqual(before, h) {
			t.Fatalf("seed %d: Check changed the history", seed)
		}
	}
}

func texts(anomalies []checker.Anomaly) []string {
	var all []string
	for _, a := range anomalies {
		all = append(all, a.String())
	}
	return all
}
