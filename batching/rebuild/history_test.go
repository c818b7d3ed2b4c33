package rebuild

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/runnel-io/runnel/batching/recordbatch"
	"github.com/runnel-io/runnel/metastore"
)

// play reads what a partition has beyond the index, a word each: "7:3@10" is a batch of producer 7 in epoch 3 at offset 10,
// "7:4@11c" and "7:4@11a" ends of its transactions, "@12-15" offsets that are missing. "7@5", before all others, is a
// transaction that the index has open from 5 on.
func play(t *testing.T, ids transactional, text string) *history {
	t.Helper()
	var open []metastore.OpenTxn
	words := strings.Fields(text)
	for ; len(words) > 0 && !strings.Contains(words[0], ":") && !strings.HasPrefix(words[0], "@"); words = words[1:] {
		var o metastore.OpenTxn
		scan(t, words[0], "%d@%d", &o.Producer, &o.First)
		open = append(open, o)
	}
	h := newHistory(metastore.TopicPartition{}, open, ids)
	for _, word := range words {
		if strings.HasPrefix(word, "@") {
			var s span
			scan(t, word, "@%d-%d", &s.from, &s.to)
			h.missing(s.from, s.to)
			continue
		}
		var producer, at int64
		var epoch int16
		end := strings.TrimRight(word, "ac")
		scan(t, end, "%d:%d@%d", &producer, &epoch, &at)
		b := &batch{offset: metastore.Offset(at), Header: recordbatch.Header{ProducerID: producer, ProducerEpoch: epoch, Attributes: 1 << 4, Records: 1}}
		if end != word {
			b.bytes = recordbatch.Marker{ProducerID: producer, ProducerEpoch: epoch, Commit: strings.HasSuffix(word, "c")}.Append(nil)
			b.Header, _ = recordbatch.ParseHeader(b.bytes)
		}
		if err := h.add(b); err != nil {
			t.Fatal(err)
		}
	}
	return h
}

func scan(t *testing.T, word, format string, into ...any) {
	t.Helper()
	if _, err := fmt.Sscanf(word, format, into...); err != nil {
		t.Fatalf("%q: %v", word, err)
	}
}

// outcome writes a resolution in the same words: what begins, "7@10", what ends, "7@11a", and the ends that are made, in gaps
// "+7@14a", and behind the last batch, "+7:4a".
func resolved(r *resolution) string {
	var words []string
	made := make(map[metastore.Offset]bool)
	for _, run := range r.runs {
		made[run.Base] = true
	}
	for _, s := range r.steps {
		word := fmt.Sprintf("%d@%d%s", s.Producer, s.Offset, []string{"", "c", "a"}[s.Kind])
		if made[s.Offset] {
			word = "+" + word
		}
		words = append(words, word)
	}
	for _, m := range r.tail {
		words = append(words, fmt.Sprintf("+%d:%d%s", m.Producer, m.Epoch, map[bool]string{true: "c", false: "a"}[m.Commit]))
	}
	if r.room != (span{}) {
		words = append(words, fmt.Sprintf("room %d-%d", r.room.from, r.room.to))
	}
	return strings.Join(words, " ")
}

func TestWhatBecomesOfTransactions(t *testing.T) {
	known := func(version int8) transactional {
		ids := make(transactional)
		of := ids[7]
		of.epoch, of.version = 3, version
		ids[7] = of
		return ids
	}
	for _, tt := range []struct {
		name    string
		version int8 // of 7, which has transactions of the index; 0: the index does not know it
		ongoing bool // by the index
		here    string
		others  []string // partitions
		want    string
	}{
		{"nothing", 2, false, "", nil, ""},
		{"one that is whole", 0, false, "7:3@10 7:3@11 7:4@12c", nil, "7@10 7@12c"},
		{"several of one epoch", 0, false, "7:3@10 7:3@11a 7:3@12 7:3@13c", nil, "7@10 7@11a 7@12 7@13c"},
		{"one that is open at the end is aborted", 0, false, "7:3@10", nil, "7@10 +7:4a"},
		{"in the order in which they began", 0, false, "8:0@9 7:3@10 9:0@11", nil, "8@9 7@10 9@11 +8:1a +7:4a +9:1a"},
		{"its end is elsewhere, and each has its own epoch", 0, false, "7:3@10", []string{"7:3@20 7:4@21c"}, "7@10 +7:4c"},
		{"an end elsewhere may be that of another of its epoch", 0, false, "7:3@10", []string{"7:3@20 7:3@21c"}, "7@10 +7:4a"},
		{"an end without its batches tells nothing of one unknown", 0, false, "7:3@10", []string{"7:4@21c"}, "7@10 +7:4a"},
		{"but of one that makes no other", 2, false, "7:3@10", []string{"7:4@21c"}, "7@10 +7:4c"},

		{"ongoing, and nothing says that it ended", 2, true, "7@5", nil, ""},
		{"it goes on in another partition", 2, true, "7:3@10", nil, "7@10"},
		{"and here, behind what is missing", 1, true, "7@5 @10-12 7:3@12", nil, ""},
		{"it ended here", 1, true, "7@5 7:3@10c", nil, "7@10c"},
		{"it ended elsewhere", 1, true, "7@5", []string{"7@6 7:3@10c"}, "+7:3c"},
		{"it ended elsewhere, where it was not open", 1, true, "7@5", []string{"7:3@10 7:3@11c"}, "+7:4a"},
		{"that is its end, if each has its own epoch", 2, true, "7@5", []string{"7:4@11c"}, "+7:4c"},
		{"it must have ended, for its producer went on", 2, true, "7@5", []string{"7:4@11 7:5@12c"}, "+7:4a"},
		{"although nothing of it ended", 2, true, "7@5", []string{"7:4@11"}, "+7:4a"},
		{"it must have ended in what is missing", 1, true, "7@5 @10-12 7:3@12c", nil, "+7@11a"},
		{"what is missing may have been before", 2, true, "7@5 @10-12 7:4@12c", nil, "7@12c"},

		{"the end is missing, and the next one is there", 0, false, "7:3@10 @11-13 7:3@13 7:3@14c", nil, "7@10 +7@12a 7@13 7@14c"},
		{"the end is missing, and known from elsewhere", 0, false, "7:3@10 @11-13 7:4@13 7:5@14a", []string{"7:3@20 7:4@21c"}, "7@10 +7@12c 7@13 7@14a"},
		{"it went on behind what is missing", 2, false, "7:3@10 @11-13 7:3@13 7:4@14c", nil, "7@10 7@14c"},
		{"it went on, and its end is missing behind that", 2, false, "7:3@10 @11-13 7:3@13 @14-16 7:4@16 7:5@17c", nil, "7@10 +7@15a 7@16 7@17c"},
		{"the end behind what is missing is that of a later one", 2, false, "7:3@10 @11-13 7:5@13c", nil, "7@10 +7@12a"},
		{"two ends in one gap", 0, false, "7:3@10 8:0@11 @12-14 7:3@14 7:3@15c 8:0@16 8:0@17c", nil, "7@10 8@11 +8@12a +7@13a 7@14 7@15c 8@16 8@17c"},
		{"and no room for them", 0, false, "7:3@10 8:0@11 @12-13 7:3@13 7:3@14c 8:0@15 8:0@16c", nil, "room 12-14"},
		{"a gap behind the end matters not", 0, false, "7:3@10 7:4@11c @12-20 8:0@20", nil, "7@10 7@11c 8@20 +8:1a"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ids, o := make(transactional), newOutcomes()
			if tt.version > 0 {
				ids = known(tt.version)
			}
			if tt.ongoing {
				o.ongoing[7] = &ongoing{id: "seven", epoch: 3, version: tt.version}
			}
			h := play(t, ids, tt.here)
			o.learn(h)
			for _, other := range tt.others {
				o.learn(play(t, ids, other))
			}
			o.conclude()
			if got := resolved(h.resolve(o)); got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}

func TestABatchThatClaimsToEndATransactionAndDoesNotIsDamage(t *testing.T) {
	h := newHistory(metastore.TopicPartition{}, nil, nil)
	b := &batch{Header: recordbatch.Header{ProducerID: 7, Attributes: 1<<4 | 1<<5, Records: 1}}
	b.bytes = slices.Repeat([]byte{0}, recordbatch.HeaderSize)
	if err := h.add(b); !isDamage(err) {
		t.Errorf("error %v", err)
	}
}
