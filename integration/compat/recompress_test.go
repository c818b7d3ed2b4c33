package compat

import (
	"testing"

	"github.com/runnel-io/runnel/integration/harness"
)

// TestEveryClientReadsWhatTheBrokerCompressed: a topic's compression.type decides, whatever the producer chose, and every
// client understands what the broker's codecs make.
func TestEveryClientReadsWhatTheBrokerCompressed(t *testing.T) {
	c := clients(t)
	const each = 300
	onTargets(t, func(t *testing.T, bootstrap string) {
		for _, kept := range Codecs {
			t.Run(kept, func(t *testing.T) {
				topic, setting := "kept-as-"+kept, kept
				if kept == "none" {
					setting = "uncompressed"
				}
				if _, err := admin(t, bootstrap).CreateTopic(harness.Soon(t), 1, 1, map[string]*string{"compression.type": &setting}, topic); err != nil {
					t.Fatal(err)
				}
				var sent []Record
				for _, codec := range Codecs {
					records := Generate(each, len(sent), epoch(), franzGo{}.Abilities())
					if err := (franzGo{}).Produce(within(t, produceTimeout), bootstrap, topic, codec, records); err != nil {
						t.Fatal(err)
					}
					sent = append(sent, records...)
				}
				reference, stored, err := ReadAll(within(t, consumeTimeout), bootstrap, topic, len(sent))
				if err != nil {
					t.Fatal(err)
				}
				if err := CheckSent(sent, reference, true); err != nil {
					t.Fatal(err)
				}
				if stored[kept] != len(sent) {
					t.Errorf("%d records of a topic that keeps %s are stored so: %v", len(sent), kept, stored)
				}
				for _, consumer := range c.Consumers {
					t.Run(consumer.Name()+" consumes", func(t *testing.T) {
						t.Parallel()
						readBack(t, bootstrap, topic, consumer, reference)
					})
				}
			})
		}
	})
}
