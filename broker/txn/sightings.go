package txn

import (
	"time"

	"github.com/runnel-io/runnel/metastore"
)

// sighting is when this broker first saw a transaction that begins in the future, on its own clock, which nobody sets.
type sighting struct {
	producer metastore.ProducerID // with the number it names one transaction, of all that an id ever had
	number   metastore.TxnNumber
	at       time.Time
}

// sightings tell how long transactions last that the log's time says nothing of. That time does not go back when the
// metastore's clock is set back: until the clock has caught up, which may take days, everything begins at the same moment
// of the future. They are by transactional id.
type sightings map[string]sighting

// age is how long a transaction has lasted at least, by the log or by what was seen. What is of use at the next look goes
// into next.
func (s sightings) age(t *metastore.Transaction, now time.Time, next sightings) time.Duration {
	age := now.Sub(t.StartedAt)
	seen, known := s[t.ID]
	switch {
	case known && seen.producer == t.Producer && seen.number == t.Number:
	case age < 0:
		seen = sighting{producer: t.Producer, number: t.Number, at: time.Now()}
	default:
		return age
	}
	next[t.ID] = seen
	return max(age, time.Since(seen.at))
}
