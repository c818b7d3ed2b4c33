package retention

import (
	"time"

	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/planted"
)

// Policy is what a topic wants kept.
type Policy struct {
	Delete bool  // cleanup.policy has delete; else all is kept
	Ms     int64 // retention.ms; -1: for ever
	Bytes  int64 // retention.bytes, of each partition; -1: without limit
}

// Runs are the runs of a partition from its log start on, in order; a metastore.PartitionView is one.
type Runs interface {
	Len() int
	Run(i int) metastore.Run
}

// Due is what is to leave a partition.
type Due struct {
	LogStart metastore.Offset // where it is to begin; meaningless if Runs is 0
	Runs     int              // that leave
	ByTime   int64            // bytes of those that are too old
	BySize   int64            // bytes of those that are too much
	More     bool             // more would leave if more were looked at
}

// Due tells what is to leave a partition that has runs with so many bytes together. It looks at limit runs at most.
//
// Kafka takes whole log files from the front, first while what is left has retention.bytes or more, then while the greatest
// timestamp of the next is older than retention.ms. Here runs are what it takes, and either reason will do for each: as
// nothing but the front ever leaves, that comes to the same. A file that holds the future waits for it, and all behind it with
// it, however old. Records without timestamps are as old as what they were stored in first, however often that was rewritten; Kafka goes by
// the time of their file, which its cleaner hands on. Nothing stays that is old enough, be it the last. What transactions have not decided stays, other than with Kafka.
func (p Policy) Due(marks metastore.Watermarks, bytes int64, runs Runs, now time.Time, limit int) Due {
	var due Due
	if !p.Delete {
		return due
	}
	for i := range runs.Len() {
		r := runs.Run(i)
		end := r.Base + metastore.Offset(r.Records)
		left := bytes - int64(r.Length)
		bySize := p.Bytes >= 0 && left >= p.Bytes
		byTime := p.Ms >= 0 && now.UnixMilli()-r.Newest() > p.Ms
		if end > marks.Stable && !planted.Is(planted.RetentionPastOpen) || !bySize && !byTime {
			break
		}
		if i == limit {
			due.More = true
			break
		}
		if bySize {
			due.BySize += int64(r.Length)
		} else {
			due.ByTime += int64(r.Length)
		}
		due.LogStart, due.Runs, bytes = end, i+1, left
	}
	return due
}

// late is by how many ms a run is older than the policy wants it; 0 if it is not.
func (p Policy) late(r metastore.Run, now time.Time) int64 {
	if p.Ms < 0 {
		return 0
	}
	return max(now.UnixMilli()-r.Newest()-p.Ms, 0)
}
