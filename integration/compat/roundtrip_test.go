package compat

import (
	"slices"
	"testing"
	"time"
)

const (
	produceTimeout = 3 * time.Minute
	consumeTimeout = 3 * time.Minute
)

// pairRecords is how many records each pair of clients exchanges: every codec and every kind of record is among them.
const pairRecords = 5_000

// TestEveryClientReadsWhatEveryOtherWrote produces with each client, a share of the records with each codec, and has
// all clients read it back, each in a consumer group of its own.
func TestEveryClientReadsWhatEveryOtherWrote(t *testing.T) {
	c := clients(t)
	n := min(recordCount(t), pairRecords)
	onTargets(t, func(t *testing.T, bootstrap string) {
		for _, p := range c.Producers {
			t.Run(p.Name()+" produces", func(t *testing.T) {
				t.Parallel()
				topic := "from-" + p.Name()
				createTopic(t, bootstrap, topic, 3)
				reference := produceAll(t, bootstrap, topic, p, n)
				for _, consumer := range c.Consumers {
					t.Run(consumer.Name()+" consumes", func(t *testing.T) {
						readBack(t, bootstrap, topic, consumer, reference)
					})
				}
			})
		}
	})
}

// TestEachClientReadsBackItsOwnMany produces a hundred thousand records with each client and reads them back with the
// same client, and with franz-go.
func TestEachClientReadsBackItsOwnMany(t *testing.T) {
	c := clients(t)
	n := recordCount(t)
	onTargets(t, func(t *testing.T, bootstrap string) {
		for i, p := range c.Producers {
			t.Run(p.Name(), func(t *testing.T) {
				t.Parallel()
				topic := "many-from-" + p.Name()
				createTopic(t, bootstrap, topic, 6)
				readBack(t, bootstrap, topic, c.Consumers[i], produceAll(t, bootstrap, topic, p, n))
			})
		}
	})
}

// produceAll has a client produce n records, checks what arrived, and returns it.
func produceAll(t *testing.T, bootstrap, topic string, p Producer, n int) []Record {
	t.Helper()
	able := p.Abilities()
	start, began := epoch(), time.Now()
	var sent []Record
	codec := map[string]int{}
	for i, name := range Codecs {
		share := n/len(Codecs) + min(1, max(0, n%len(Codecs)-i))
		records := Generate(share, len(sent), start, able)
		if err := p.Produce(within(t, produceTimeout), bootstrap, topic, name, records); err != nil {
			t.Fatalf("%s produces with %s: %v", p.Name(), name, err)
		}
		sent = append(sent, records...)
		codec[name] = share
	}
	t.Logf("%s produced %d records in %v", p.Name(), n, time.Since(began).Round(time.Millisecond))

	reference, stored, err := ReadAll(within(t, consumeTimeout), bootstrap, topic, n)
	if err != nil {
		t.Fatal(err)
	}
	if err := CheckDense(reference); err != nil {
		t.Error(err)
	}
	if err := CheckSent(sent, reference, able.Timestamps); err != nil {
		t.Fatal(err)
	}
	if !able.Timestamps {
		outside := slices.IndexFunc(reference, func(r Record) bool {
			return r.Timestamp < began.UnixMilli() || r.Timestamp > time.Now().UnixMilli()
		})
		if outside >= 0 {
			t.Errorf("the client's clock gave %+v, not a time during the test", reference[outside])
		}
	}
	for name, share := range codec {
		// A client sends a batch as it is if compression does not make it smaller: a few small ones.
		if name != "none" && (stored[name] < share*8/10 || stored[name] > share) {
			t.Errorf("of %d records sent with %s, %d are stored so: %v", share, name, stored[name], stored)
		}
	}
	return reference
}

func readBack(t *testing.T, bootstrap, topic string, consumer Consumer, reference []Record) {
	t.Helper()
	group := topic + "-to-" + consumer.Name()
	began := time.Now()
	lines, err := consumer.Consume(within(t, consumeTimeout), bootstrap, topic, group, len(reference))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s read %d records in %v", consumer.Name(), len(lines), time.Since(began).Round(time.Millisecond))
	if err := CheckLines(reference, consumer.Render, lines); err != nil {
		t.Fatal(err)
	}

	end := map[int32]int64{}
	for _, r := range reference {
		end[r.Partition] = max(end[r.Partition], r.Offset+1)
	}
	committed, err := admin(t, bootstrap).FetchOffsets(within(t, time.Minute), group)
	if err != nil {
		t.Fatal(err)
	}
	for partition, want := range end {
		got, ok := committed.Lookup(topic, partition)
		if !ok || got.Err != nil || got.At != want {
			t.Errorf("%s committed %+v in partition %d, the end is %d", consumer.Name(), got, partition, want)
		}
	}
}
