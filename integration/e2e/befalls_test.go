package e2e

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/runnel-io/runnel/integration/harness"
	"github.com/runnel-io/runnel/integration/witness"
)

// besieged is a cluster under load, which readers of every broker watch.
type besieged struct {
	brokers   []*member
	witness   *witness.Witness
	readers   *readers
	ledgers   []*ledger
	bucketCut map[*member]bool // brokers that could not read for a time, and may say so
}

// besiege starts a cluster, producers with and without idempotence, and readers of every broker.
func besiege(t *testing.T, brokers int) *besieged {
	t.Helper()
	s := &besieged{brokers: startCluster(t, brokers), witness: witness.New(), bucketCut: make(map[*member]bool)}
	var addresses []string
	for _, b := range s.brokers {
		addresses = append(addresses, b.Addr)
	}
	seeds := kgo.SeedBrokers(addresses...)
	topics := []string{"left", "right"}
	for _, topic := range topics {
		createTopic(t, topic, 3, seeds)
		for _, b := range s.brokers {
			eventually(t, "the broker knows the topic", 10*time.Second, func() bool {
				found, err := admin(t, through(b.Broker)...).ListTopics(harness.Soon(t), topic)
				return err == nil && found[topic].Err == nil && len(found[topic].Partitions) == 3
			})
		}
	}
	s.readers = startReaders(t, s.witness, s.brokers, topics...)
	for _, topic := range topics {
		s.produce(t, topic, "one", true, seeds)
		s.produce(t, topic, "two", true, seeds)
		s.produce(t, topic, "plain", false, seeds, kgo.DisableIdempotentWrite())
	}
	return s
}

// produce starts a producer of 50 records a second.
func (s *besieged) produce(t *testing.T, topic, name string, idempotent bool, opts ...kgo.Opt) {
	t.Helper()
	l := newLedger(t, topic, name, 3, opts...)
	l.every, l.told = 20*time.Millisecond, s.witness.Producer(topic+"/"+name, idempotent).Acked
	l.start(t)
	s.ledgers = append(s.ledgers, l)
}

// acked is how many records are acknowledged.
func (s *besieged) acked() (n int) {
	for _, l := range s.ledgers {
		n += l.count()
	}
	return n
}

// goesOn waits until further records are acknowledged; a producer that waits for a broker in trouble may get none.
func (s *besieged) goesOn(t *testing.T) {
	t.Helper()
	from := s.acked()
	eventually(t, "records are acknowledged", recovery, func() bool { return s.acked() >= from+150 })
}

// recovers waits until every producer gets records acknowledged, and every reader sees all.
func (s *besieged) recovers(t *testing.T) {
	t.Helper()
	from := make(map[*ledger]int)
	for _, l := range s.ledgers {
		from[l] = l.count()
	}
	for l, n := range from {
		eventually(t, l.topic+"/"+l.name+" gets records acknowledged", recovery, func() bool { return l.count() >= n+3 })
	}
	s.readers.await(t, recovery)
}

// conclude stops the load, and fails the test if anything that was answered contradicts anything else.
func (s *besieged) conclude(t *testing.T) {
	t.Helper()
	for _, l := range s.ledgers {
		l.finish(t)
	}
	ends := make(map[string]string)
	eventually(t, "all brokers tell the same ends", 20*time.Second, func() bool {
		clear(ends)
		for _, b := range s.brokers {
			ends[s.ends(t, b)] = b.Addr
		}
		return len(ends) == 1
	})
	s.readers.await(t, 20*time.Second)
	s.readers.finish()
	s.witness.Conclude()
	if err := s.witness.Err(); err != nil {
		t.Fatal(err)
	}
	for _, b := range s.brokers {
		refusals := s.witness.Refusals(b.Addr)
		t.Logf("%s refused: %v", b.Addr, refusals)
		if n := refusals["KAFKA_STORAGE_ERROR"]; n > 0 && !s.bucketCut[b] {
			t.Errorf("broker %s could not read %d times, although its bucket was always there", b.Addr, n)
		}
	}
	for end := range ends {
		t.Logf("ends: %s", end)
	}
}

// ends is where a broker says that the partitions end.
func (s *besieged) ends(t *testing.T, b *member) string {
	t.Helper()
	found, err := admin(t, through(b.Broker)...).ListEndOffsets(harness.Soon(t), "left", "right")
	if err != nil || found.Error() != nil {
		return fmt.Sprint(b.Addr, ": ", cmp.Or(err, found.Error()))
	}
	text := ""
	for _, p := range s.readers.partitions {
		end, _ := found.Lookup(p.Topic, p.Number)
		text += fmt.Sprint(p, " ", end.Offset, ", ")
	}
	return text
}

// befalls is what can happen to a broker. While it lasts, producers that do not need that broker go on; one without a
// bucket keeps its producers waiting.
type befalls struct {
	name      string
	begin     func(s *besieged, b *member)
	worst     func(t *testing.T, s *besieged, b *member) // returns when it is
	end       func(s *besieged, b *member)
	lasting   bool // it takes longer than a lease to get bad
	metastore bool // PostgreSQL is out of reach
}

var whatBefalls = []befalls{
	{
		name:  "killed",
		begin: func(_ *besieged, b *member) { b.Kill() },
		worst: func(t *testing.T, s *besieged, _ *member) { s.goesOn(t) },
		end:   func(_ *besieged, b *member) { b.Start() },
	}, {
		name:    "paused for longer than its lease",
		begin:   func(_ *besieged, b *member) { b.Pause() },
		worst:   func(t *testing.T, s *besieged, b *member) { s.awaitGone(t, b); s.goesOn(t) },
		end:     func(_ *besieged, b *member) { b.Resume() },
		lasting: true,
	}, {
		name:      "refused by PostgreSQL",
		begin:     func(_ *besieged, b *member) { b.postgres.Refuse() },
		worst:     func(t *testing.T, s *besieged, b *member) { b.WaitNotReady("metastore"); s.goesOn(t) },
		end:       func(_ *besieged, b *member) { b.postgres.Mend() },
		lasting:   true,
		metastore: true,
	}, {
		name:      "unheard by PostgreSQL",
		begin:     func(_ *besieged, b *member) { b.postgres.Cut() },
		worst:     func(t *testing.T, s *besieged, b *member) { b.WaitNotReady("metastore"); s.goesOn(t) },
		end:       func(_ *besieged, b *member) { b.postgres.Mend() },
		lasting:   true,
		metastore: true,
	}, {
		name:      "held up on the way to PostgreSQL",
		begin:     func(_ *besieged, b *member) { b.postgres.Hold() },
		worst:     func(t *testing.T, s *besieged, b *member) { b.WaitNotReady("metastore"); s.goesOn(t) },
		end:       func(_ *besieged, b *member) { b.postgres.Mend() },
		lasting:   true,
		metastore: true,
	}, {
		name:    "refused by the bucket",
		begin:   func(s *besieged, b *member) { s.bucketCut[b] = true; b.bucket.Refuse() },
		worst:   func(_ *testing.T, _ *besieged, b *member) { b.WaitNotReady("object store") },
		end:     func(_ *besieged, b *member) { b.bucket.Mend() },
		lasting: true,
	}, {
		name:    "unheard by the bucket",
		begin:   func(s *besieged, b *member) { s.bucketCut[b] = true; b.bucket.Cut() },
		worst:   func(_ *testing.T, _ *besieged, b *member) { b.WaitNotReady("object store") },
		end:     func(_ *besieged, b *member) { b.bucket.Mend() },
		lasting: true,
	}, {
		name:  "unheard by the other brokers",
		begin: func(_ *besieged, b *member) { b.peers.Cut() },
		worst: func(t *testing.T, s *besieged, _ *member) { s.goesOn(t) },
		end:   func(_ *besieged, b *member) { b.peers.Mend() },
	}, {
		name:  "held up on the way to the other brokers",
		begin: func(_ *besieged, b *member) { b.peers.Hold() },
		worst: func(t *testing.T, s *besieged, _ *member) { s.goesOn(t) },
		end:   func(_ *besieged, b *member) { b.peers.Mend() },
	}, {
		name: "alone", // without PostgreSQL, and no broker reaches another
		begin: func(s *besieged, b *member) {
			b.postgres.Cut()
			for _, other := range s.brokers {
				other.peers.Cut()
			}
		},
		worst: func(t *testing.T, s *besieged, b *member) {
			b.WaitNotReady("metastore")
			s.goesOn(t)
			s.awaitSentAway(t, b)
		},
		end: func(s *besieged, b *member) {
			b.postgres.Mend()
			for _, other := range s.brokers {
				other.peers.Mend()
			}
		},
		lasting:   true,
		metastore: true,
	},
}

// awaitGone waits until the lease of a broker has run out for another.
func (s *besieged) awaitGone(t *testing.T, b *member) {
	t.Helper()
	other := s.brokers[0]
	if other == b {
		other = s.brokers[1]
	}
	eventually(t, "the lease of "+b.Addr+" runs out", 20*time.Second, func() bool {
		live, err := admin(t, through(other.Broker)...).ListBrokers(harness.Soon(t))
		return err == nil && !slices.ContainsFunc(live, func(d kgo.BrokerMetadata) bool {
			return fmt.Sprintf("%s:%d", d.Host, d.Port) == b.Addr
		})
	})
}

// awaitSentAway waits until a broker tells consumers that it has nothing for that they better ask another.
func (s *besieged) awaitSentAway(t *testing.T, b *member) {
	t.Helper()
	eventually(t, "consumers are sent away by "+b.Addr, 20*time.Second, func() bool {
		return s.witness.Refusals(b.Addr)[kerr.NotLeaderForPartition.Message] > 0
	})
}

// recovery is how soon after the end of a fault producers go on, and readers of every broker are where the partitions
// end. A request to the bucket is given up after 20 s without a byte.
const recovery = 45 * time.Second

// TestReadersSeeOneLogWhateverBefallsABroker: a broker is killed, paused, cut off from the stores and from the others,
// one after the other, sometimes the one that sequences. No reader of any broker sees a high watermark go back, a gap, or
// another record at an offset, nor is told to begin anew, and when it is over all see everything that was acknowledged.
func TestReadersSeeOneLogWhateverBefallsABroker(t *testing.T) {
	for _, half := range []struct {
		name  string
		picks func(befalls) bool
	}{
		{"the way to PostgreSQL", func(f befalls) bool { return f.metastore }},
		{"other ways", func(f befalls) bool { return !f.metastore }},
	} {
		t.Run(half.name, func(t *testing.T) {
			t.Parallel()
			s := besiege(t, 3)
			s.goesOn(t)
			for i, fault := range whatBefalls {
				if !half.picks(fault) {
					continue
				}
				holder, others := split(t, s.brokers)
				victim, who := others[i%2], "a broker"
				if i%3 != 1 {
					victim, who = holder, "the sequencer"
				}
				t.Run(who+" is "+fault.name, func(t *testing.T) { s.suffer(t, fault, victim) })
			}
			s.conclude(t)
		})
	}
}

// strike lets a fault come, get as bad as it gets, and go, whatever the test finds in between.
func (s *besieged) strike(t *testing.T, fault befalls, victim *member) {
	t.Helper()
	fault.begin(s, victim)
	defer fault.end(s, victim)
	fault.worst(t, s, victim)
}

func (s *besieged) suffer(t *testing.T, fault befalls, victim *member) {
	s.strike(t, fault, victim)
	ended := time.Now()
	s.recovers(t)
	recovered := time.Since(ended)
	victim.WaitReady()
	t.Logf("all goes on after %v, ready after %v", recovered.Round(time.Millisecond), time.Since(ended).Round(time.Millisecond))
	if err := s.witness.Err(); err != nil {
		t.Fatal(err)
	}
}

// TestReadersSeeOneLogThroughRandomFaults: as above, with five brokers, of which up to two are in trouble at any time.
func TestReadersSeeOneLogThroughRandomFaults(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	if fixed := os.Getenv("RUNNEL_FAULTS_SEED"); fixed != "" {
		var err error
		if seed, err = strconv.ParseUint(fixed, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("seed %d (RUNNEL_FAULTS_SEED)", seed)
	rng := rand.New(rand.NewPCG(seed, 11))
	s := besiege(t, 5)
	s.goesOn(t)
	for begun := time.Now(); time.Since(begun) < 30*time.Second; {
		victims := rng.Perm(len(s.brokers))[:1+rng.IntN(2)]
		var faults []befalls
		killed := false
		lasts := 200*time.Millisecond + time.Duration(rng.Int64N(int64(2*time.Second)))
		for _, v := range victims {
			fault := whatBefalls[rng.IntN(len(whatBefalls))]
			faults = append(faults, fault)
			killed = killed || fault.name == "killed"
			if fault.lasting && rng.IntN(3) == 0 {
				lasts = 7 * time.Second // longer than a lease
			}
			t.Logf("%s is %s", s.brokers[v].Addr, fault.name)
			fault.begin(s, s.brokers[v])
		}
		if killed {
			lasts = min(lasts, 2*time.Second) // or the node id of the other, which may have no lease, is taken by this one
		}
		<-time.After(lasts)
		for i, v := range victims {
			faults[i].end(s, s.brokers[v])
		}
		for _, v := range victims {
			s.brokers[v].WaitReady()
		}
		if rng.IntN(2) == 0 {
			s.recovers(t)
		}
		if err := s.witness.Err(); err != nil {
			t.Fatal(err)
		}
	}
	s.conclude(t)
}
