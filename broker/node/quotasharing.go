package node

import (
	"context"
	"errors"
	"net"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/runnel-io/runnel/metastore"
)

const (
	// tellEvery is how often brokers ask each other what clients would take of their quotas.
	tellEvery = time.Second
	// askAtOnce bounds how many are asked at the same time.
	askAtOnce = 16
	// lostAfter is for how long what a broker told counts when it does not answer.
	lostAfter = 3 * time.Second
)

// sharing is what this broker and others told of their clients.
type sharing struct {
	own   atomic.Pointer[[]byte]         // the latest of this broker; nil: it does not share
	heard map[metastore.NodeID]heardFrom // shareQuotas'
}

type heardFrom struct {
	report []byte
	at     time.Time
}

// usage is what other brokers are told.
func (s *sharing) usage() []byte {
	if report := s.own.Load(); report != nil {
		return *report
	}
	return nil
}

// shareQuotas has quotas be those of the cluster, if they are to be, until ctx ends.
func (n *Node) shareQuotas(ctx context.Context) error {
	if n.opts.Config.Quota.Scope != "cluster" || n.callers == nil {
		<-ctx.Done()
		return nil
	}
	n.sharing.heard = make(map[metastore.NodeID]heardFrom)
	tick := time.NewTicker(tellEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		report := n.quotas.Report(n.members.Now())
		n.sharing.own.Store(&report)
		n.hear(ctx)
	}
}

// hear asks all other brokers. Those that do not share, as they are of an earlier version or are told not to, are left out.
func (n *Node) hear(ctx context.Context) {
	asking, cancel := context.WithTimeout(ctx, tellEvery)
	defer cancel()
	others := n.members.Live()
	answers := make([][]byte, len(others))
	var asked errgroup.Group
	asked.SetLimit(askAtOnce)
	for i, b := range others {
		if b.NodeID == n.members.Self().NodeID || b.PeerHost == "" {
			continue
		}
		asked.Go(func() error {
			report, err := n.callers.Usage(asking, net.JoinHostPort(b.PeerHost, strconv.Itoa(int(b.PeerPort))))
			if errors.Is(err, metastore.ErrNewerFormat) {
				return nil
			}
			if err != nil {
				n.log.Debug("ask a broker for its clients' usage", "node_id", b.NodeID, "error", err)
			}
			answers[i] = report
			return nil
		})
	}
	_ = asked.Wait()
	now := time.Now()
	for i, b := range others {
		if answers[i] != nil {
			n.sharing.heard[b.NodeID] = heardFrom{answers[i], now}
		}
	}
	var reports [][]byte
	for id, from := range n.sharing.heard {
		if now.Sub(from.at) > lostAfter {
			delete(n.sharing.heard, id)
			continue
		}
		reports = append(reports, from.report)
	}
	if err := n.quotas.Hear(reports); err != nil {
		n.log.Debug("reports of other brokers on quotas", "error", err)
	}
}
