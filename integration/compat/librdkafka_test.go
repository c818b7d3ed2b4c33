package compat

import (
	"strings"
	"testing"
	"time"
)

// TestLibrdkafkaCompresses: librdkafka before 2.10 looks at the lowest Produce version that a broker advertises, and
// if that is above 0 sends everything uncompressed without an error; only its debug log tells (KAFKA-18659).
func TestLibrdkafkaCompresses(t *testing.T) {
	clients(t)
	onTargets(t, func(t *testing.T, bootstrap string) {
		for _, codec := range Codecs[1:] {
			t.Run(codec, func(t *testing.T) {
				topic := "compressed-" + codec
				createTopic(t, bootstrap, topic, 1)
				const n = 100
				in := strings.NewReader(strings.Repeat(strings.Repeat("all the same ", 20)+"\n", n))
				out, err := runBoth(within(t, time.Minute), in, "kcat", "-P", "-b", bootstrap, "-t", topic, "-z", codec, "-d", "msg")
				if err != nil {
					t.Fatal(err)
				}
				if i := strings.Index(out, "not compressing"); i >= 0 {
					t.Errorf("librdkafka does not compress: %.300s", out[i:])
				}
				_, stored, err := ReadAll(within(t, time.Minute), bootstrap, topic, n)
				if err != nil {
					t.Fatal(err)
				}
				if stored[codec] != n {
					t.Errorf("%d records sent with %s, stored: %v", n, codec, stored)
				}
			})
		}
	})
}

// TestKcatListsTheCluster: `kcat -L` shows brokers, topics and partitions.
func TestKcatListsTheCluster(t *testing.T) {
	clients(t)
	onTargets(t, func(t *testing.T, bootstrap string) {
		createTopic(t, bootstrap, "listed", 4)
		out, err := runBoth(within(t, time.Minute), nil, "kcat", "-L", "-b", bootstrap)
		if err != nil {
			t.Fatal(err)
		}
		contains(t, out, "broker", bootstrap, `topic "listed" with 4 partitions`)
	})
}
