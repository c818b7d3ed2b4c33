package audit

import (
	"math"
	"strings"

	"github.com/runnel-io/runnel/metastore"
)

// partitions are what a replica tells of the records that there are.
type partitions interface {
	Topics() []*metastore.Topic
	PartitionSizes(id metastore.TopicID) []int64
	Runs(tp metastore.TopicPartition, from metastore.Offset, maxBytes int) (metastore.Watermarks, []metastore.Run, error)
	Watermarks(tp metastore.TopicPartition) (metastore.Watermarks, bool)
	VisitPartitions(visit func(*metastore.PartitionView) bool)
}

// sizes adds up the runs of every partition.
func (e *examination) sizes(of partitions) {
	cleaned := map[metastore.TopicPartition]bool{} // log compaction may have left gaps
	of.VisitPartitions(func(v *metastore.PartitionView) bool {
		cleaned[v.TopicPartition] = v.CleanedTo > 0
		return true
	})
	for _, topic := range of.Topics() {
		sizes := of.PartitionSizes(topic.ID)
		if len(sizes) != int(topic.Partitions) {
			e.found(SizeMismatch, "topic %s has %d partitions, and %d sizes", topic.Name, topic.Partitions, len(sizes))
			continue
		}
		for p := range topic.Partitions {
			e.partition(of, topic, p, sizes[p], cleaned[metastore.TopicPartition{Topic: topic.ID, Partition: p}])
		}
	}
}

// partition: its runs follow each other from the log start, or before, to the high watermark, without gaps unless log compaction
// leaves some, and each lies in its object.
func (e *examination) partition(of partitions, topic *metastore.Topic, number int32, size int64, cleaned bool) {
	tp := metastore.TopicPartition{Topic: topic.ID, Partition: number}
	wrong := func(format string, args ...any) {
		e.found(SizeMismatch, "partition %d of topic %s: "+format, append([]any{number, topic.Name}, args...)...)
	}
	w, ok := of.Watermarks(tp)
	if !ok || w.LogStart < 0 || w.LogStart > w.Stable || w.Stable > w.High {
		wrong("its borders are %+v", w)
		return
	}
	_, runs, err := of.Runs(tp, w.LogStart, math.MaxInt)
	if err != nil {
		wrong("its runs cannot be read: %v", err)
		return
	}
	next, bytes := w.LogStart, int64(0)
	compacted := cleaned || strings.Contains(topic.Configs["cleanup.policy"], "compact")
	for i, r := range runs {
		if r.Base < next && i > 0 || r.Base > next && !compacted {
			wrong("its run of offset %d follows offset %d", r.Base, next)
		}
		if r.Records < 1 || r.Marker == nil && int64(r.Position)+int64(r.Length) > r.SegmentSize {
			wrong("its run %+v lies outside of its object", r)
		}
		next = r.End()
		bytes += int64(r.Length)
	}
	if next != w.High {
		wrong("its runs end at %d, its high watermark is %d", next, w.High)
	}
	if bytes != size {
		wrong("its runs have %d bytes, counted as %d", bytes, size)
	}
}
