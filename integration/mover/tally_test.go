package mover

import (
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

func TestCheckFindsWhatIsLostOrTwice(t *testing.T) {
	var all []*kgo.Record
	for n := range 7 {
		all = append(all, Record("t", n, 3))
	}
	swapped := slices.Clone(all)
	swapped[0], swapped[3] = swapped[3], swapped[0]
	for name, c := range map[string]struct {
		moved []*kgo.Record
		fails bool
	}{
		"all":          {all, false},
		"one lost":     {slices.Delete(slices.Clone(all), 1, 2), true},
		"the last":     {all[:6], true},
		"one twice":    {append(slices.Clone(all), all[6]), true},
		"out of order": {swapped, true},
		"nothing":      {nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			if err := Check(c.moved, 7, 3); (err != nil) != c.fails {
				t.Errorf("check: %v", err)
			}
		})
	}
}
