package workload

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/runnel-io/runnel/integration/history"
)

// shelf is how far the feeder has come, for the bookkeeper.
type shelf struct {
	mu  sync.Mutex
	end map[history.Partition]int64 // behind the last record that was acknowledged
}

func (s *shelf) put(at history.At) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.end[at.Partition] = max(s.end[at.Partition], at.Offset+1)
}

func (s *shelf) ends() []history.At {
	s.mu.Lock()
	defer s.mu.Unlock()
	return sortedOffsets(s.end)
}

// bookkeeper commits offsets of a group without members, always forward, and looks at them. It has two clients, of which
// each keeps to the coordinator that it knows: after a takeover one may still speak to the broker that was it before.
type bookkeeper struct {
	*worker
	clients [2]*client
	at      []history.At // what was last asked to be committed
}

const bookkeeperGroup = "books"

// keep runs until load ends.
func (b *bookkeeper) keep(ctx, load context.Context) error {
	b.life = "bookkeeper"
	for i := range b.clients {
		c, err := b.newClient(ctx, fmt.Sprintf("bookkeeper-%d", i), kgo.MaxVersions(byNames()))
		if err != nil {
			return err
		}
		defer c.close()
		b.clients[i] = c
	}
	for b.think(load) {
		at := b.shelf.ends()
		if len(at) == 0 {
			continue
		}
		if !slices.Equal(at, b.at) {
			b.at = at
			b.commit(ctx, b.client(), history.Operation{Client: b.life, Group: bookkeeperGroup, Generation: -1, Offsets: at})
		}
		if b.chance(60) {
			b.look(ctx, b.client(), bookkeeperGroup, partitionsOf(at))
		}
	}
	return nil
}

func (b *bookkeeper) client() *client { return b.clients[b.rand.IntN(len(b.clients))] }

func partitionsOf(offsets []history.At) []history.Partition {
	var all []history.Partition
	for _, at := range offsets {
		all = append(all, at.Partition)
	}
	return all
}
