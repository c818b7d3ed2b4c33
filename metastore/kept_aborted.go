package metastore

import (
	"math"
	"sync"
	"time"
)

// What follows belongs to a planted bug, and is not in ordinary builds' way: the aborted transactions of a partition are
// those of up to keepAborted ago.

const keepAborted = 300 * time.Millisecond

var keptAborted sync.Map // keptOf to kept

type keptOf struct {
	replica *Replica
	TopicPartition
}

type kept struct {
	at      time.Time
	aborted []AbortedTxn
}

func (r *Replica) keepAborted(tp TopicPartition, p *partition) {
	of := keptOf{r, tp}
	if k, ok := keptAborted.Load(of); ok && time.Since(k.(kept).at) < keepAborted {
		return
	}
	keptAborted.Store(of, kept{at: time.Now(), aborted: p.txns.overlapping(0, math.MaxInt64)})
}

// keptAborted returns those that end at an offset or after it.
func (r *Replica) keptAborted(tp TopicPartition, from Offset) []AbortedTxn {
	k, _ := keptAborted.Load(keptOf{r, tp})
	aborted := k.(kept).aborted
	for i := range aborted {
		if aborted[i].Last >= from {
			return aborted[i:]
		}
	}
	return nil
}
