package reader

import (
	"cmp"
	"slices"

	"github.com/runnel-io/runnel/batching/recordbatch"
	"github.com/runnel-io/runnel/metastore"
)

// markerOf is the batch of a run that is the end of a transaction. It has the offset of the run.
func markerOf(run *metastore.Run) recordbatch.Marker {
	return recordbatch.Marker{
		BaseOffset: int64(run.Base), LeaderEpoch: leaderEpoch,
		ProducerID: int64(run.Marker.Producer), ProducerEpoch: int16(run.Marker.Epoch), Commit: run.Marker.Commit, Timestamp: run.MaxTimestamp,
	}
}

// mostMarkers is the length of a part of markers.
const mostMarkers = 16 << 10

// addMarker adds the end of a transaction. Those that follow on one another are one part of the records: there may be
// thousands of them in a row.
func (a *answer) addMarker(run *metastore.Run) {
	if !a.fits(recordbatch.MarkerSize) {
		a.full = true
		return
	}
	if room := cap(a.headers); room-len(a.headers) < recordbatch.MarkerSize {
		if a.marker < 0 {
			room = 0
		}
		a.headers, a.marker = make([]byte, 0, min(max(2*room, 16*recordbatch.HeaderSize), mostMarkers)), -1
	}
	from := len(a.headers)
	a.headers = markerOf(run).Append(a.headers)
	if a.marker < 0 {
		a.marker = from
		a.result.Records = append(a.result.Records, nil)
	}
	a.result.Records[len(a.result.Records)-1] = a.headers[a.marker:len(a.headers):len(a.headers)]
	a.result.Bytes += recordbatch.MarkerSize
	a.at = cursor{offset: run.Base + 1, run: run.Base, position: run.Length}
}

// joinAborted adds to a list of transactions those of another, which may have some of the same.
func joinAborted(list, more []metastore.AbortedTxn) []metastore.AbortedTxn {
	if len(list) == 0 || len(more) == 0 {
		return append(list, more...)
	}
	list = append(list, more...)
	slices.SortFunc(list, func(x, y metastore.AbortedTxn) int { return cmp.Compare(x.Last, y.Last) })
	return slices.Compact(list)
}

// forgotten tells whether a transaction that was aborted before an offset, and ends after it, is not among those that are
// known now: log compaction has removed it and its end. A client that is told of it, and does not meet its end in the same
// answer, takes what its producer wrote later for aborted.
func forgotten(before, now []metastore.AbortedTxn, at metastore.Offset) bool {
	return slices.ContainsFunc(before, func(t metastore.AbortedTxn) bool {
		return t.First < at && t.Last >= at && !slices.Contains(now, t)
	})
}

// overlapping is the aborted transactions that overlap the batches of the answer, which may be fewer than those of its
// runs.
func (a *answer) overlapping() []metastore.AbortedTxn {
	if a.result.Bytes == 0 {
		return nil
	}
	return slices.DeleteFunc(a.aborted, func(t metastore.AbortedTxn) bool { return t.First >= a.at.offset })
}
