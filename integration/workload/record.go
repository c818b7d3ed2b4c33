package workload

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/runnel-io/runnel/integration/history"
)

// nameless is the header that tells tombstones, which have no value, from each other.
const nameless = "value"

// encode makes the Kafka record of one of the history. Both parts are decimal text, which a person reads in a dump of a
// partition: the key, and the value, with what it was made from after a space.
func encode(r history.Record) *kgo.Record {
	value := strconv.AppendInt(nil, r.Value, 10)
	if r.Of != 0 {
		value = strconv.AppendInt(append(value, ' '), r.Of, 10)
	}
	out := &kgo.Record{Topic: r.Topic, Partition: r.Number, Key: strconv.AppendInt(nil, r.Key, 10), Value: value,
		Timestamp: time.UnixMilli(r.Timestamp)}
	if r.Tombstone {
		out.Value, out.Headers = nil, []kgo.RecordHeader{{Key: nameless, Value: value}}
	}
	return out
}

// decode reads a record that encode made. No other is in the topics of a workload.
func decode(r *kgo.Record) (history.Record, error) {
	out := history.Record{Partition: history.Partition{Topic: r.Topic, Number: r.Partition}, Offset: r.Offset, Timestamp: r.Timestamp.UnixMilli()}
	text := r.Value
	if text == nil && len(r.Headers) == 1 && r.Headers[0].Key == nameless {
		out.Tombstone, text = true, r.Headers[0].Value
	}
	value, of, made := strings.Cut(string(text), " ")
	var errs [3]error
	out.Key, errs[0] = strconv.ParseInt(string(r.Key), 10, 64)
	out.Value, errs[1] = strconv.ParseInt(value, 10, 64)
	if made {
		out.Of, errs[2] = strconv.ParseInt(of, 10, 64)
	}
	for _, err := range errs {
		if err != nil {
			return out, fmt.Errorf("foreign record %s/%d@%d: key %q, value %q: %w", r.Topic, r.Partition, r.Offset, r.Key, r.Value, err)
		}
	}
	return out, nil
}
