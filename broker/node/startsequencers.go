package node

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"

	"golang.org/x/sync/errgroup"

	"github.com/runnel-io/runnel/broker/cluster"
	"github.com/runnel-io/runnel/broker/peer"
	"github.com/runnel-io/runnel/broker/sequencer"
	"github.com/runnel-io/runnel/metastore"
)

// StartSequencers makes of each replica what a broker is as far as sequencing goes, for tools that measure it: a member
// of the cluster with a peer port on the loopback, whose commits go through the one that holds the role. metas[i] is
// that of replicas[i]. When it returns, one
// has the role and the others know it; they run until stop.
func StartSequencers(ctx context.Context, metas []metastore.Store, replicas []*metastore.Replica) (made []*sequencer.Sequencer, stop func() error, err error) {
	credentials, err := peer.FromSecret(rand.Text())
	if err != nil {
		return nil, nil, err
	}
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	parts := new(errgroup.Group)
	stop = func() error {
		cancel()
		return parts.Wait()
	}
	for i, r := range replicas {
		s, err := startSequencer(ctx, running, parts, credentials, metas[i], r)
		if err != nil {
			return nil, nil, errors.Join(err, stop())
		}
		made = append(made, s)
	}
	for _, s := range made {
		if err := s.AwaitRole(ctx); err != nil {
			return nil, nil, errors.Join(err, stop())
		}
	}
	return made, stop, nil
}

func startSequencer(ctx, running context.Context, parts *errgroup.Group, c *peer.Credentials, meta metastore.Store, r *metastore.Replica) (*sequencer.Sequencer, error) {
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for other brokers: %w", err)
	}
	at := ln.Addr().(*net.TCPAddr)
	m := cluster.New(meta, metastore.Broker{
		NodeID: metastore.AnyNodeID, Host: at.IP.String(), Port: int32(at.Port), PeerHost: at.IP.String(), PeerPort: int32(at.Port),
	}, cluster.Options{})
	if err := m.Join(ctx); err != nil {
		return nil, errors.Join(err, ln.Close())
	}
	client := peer.NewClient(c, m.ClusterID, peer.ClientOptions{})
	s := sequencer.New(r, m, meta, client, sequencer.Options{})
	server := peer.NewServer(c, m.ClusterID, s, r, peer.ServerOptions{})
	parts.Go(func() error { return m.Run(running) })
	parts.Go(func() error { return s.Run(running) })
	parts.Go(func() error { return s.HoldRole(running) })
	parts.Go(func() error {
		defer client.Close()
		return server.Run(running, ln)
	})
	return s, nil
}
