package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/metastore/index"
	"github.com/runnel-io/runnel/metastore/mark"
)

// join waits until both stores answer, folds the log, compares it with what brokers left word of in the bucket, and registers
// this one: last, since from then on the others send clients to it.
func (n *Node) join(ctx context.Context) error {
	follow := n.replica.Open
	for {
		metaErr := followMetadata(ctx, follow)
		if errors.Is(metaErr, metastore.ErrSchema) && !errors.Is(metaErr, metastore.ErrNewerSchema) && n.opts.Config.Migrate {
			if metaErr = n.migrate(ctx); metaErr == nil {
				metaErr = followMetadata(ctx, follow)
			}
		}
		if metaErr == nil {
			follow = n.replica.CatchUp // a snapshot may be large
		}
		checkErr, logErr := n.checkObjects(ctx), error(nil)
		if metaErr == nil && checkErr == nil {
			if logErr = n.compareMarks(ctx); logErr == nil {
				logErr = n.lookForLost(ctx)
			}
			if logErr == nil {
				metaErr = n.register(ctx)
			}
			if logErr == nil && metaErr == nil {
				metaErr = n.prepareLogins(ctx)
			}
		}
		n.note(componentMetastore, metaErr)
		n.note(componentObjectStore, checkErr)
		n.note(componentLog, logErr)
		switch {
		case errors.Join(metaErr, checkErr, logErr) == nil:
			n.log.Info("joined cluster", "cluster_id", n.members.ClusterID(), "node_id", n.members.Self().NodeID)
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		}
		pause := joinPause
		if errors.Is(logErr, metastore.ErrRegressed) {
			pause = refusedPause
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

const (
	joinPause    = time.Second
	refusedPause = 5 * time.Second // no look will mend that: somebody has to
	joinTimeout  = 30 * time.Second
	checkTimeout = 5 * time.Second
	checkPause   = 5 * time.Second
)

func followMetadata(ctx context.Context, follow func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()
	return follow(ctx)
}

func (n *Node) register(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()
	return n.members.Join(ctx)
}

// compareMarks refuses a log that is not what brokers of this cluster have seen. It may be the wrong server, or not yet up
// to date, so it is looked at again; but only an administrator can say that what was lost is given up.
func (n *Node) compareMarks(ctx context.Context) error {
	cluster, err := n.clusterID(ctx)
	if err != nil {
		return err
	}
	err = n.marks.Compare(ctx, cluster)
	if errors.Is(err, metastore.ErrRegressed) {
		err = fmt.Errorf("%w. Records that were acknowledged would be lost and their offsets given away again, so this broker serves nothing. "+
			"Bring back the metastore that holds it; docs/recovery.md says how, and how to give up what was lost: "+
			"stop all brokers and delete what lies under %s and %s in %s", err, mark.Prefix(cluster), index.Prefix(cluster), n.opts.Config.ObjectStore.URL)
	}
	return err
}

// lookForLost refuses an empty log where another cluster has left copies of its own. Either that cluster's metastore was lost,
// and this one is where it is to be made anew, or was begun to be: to serve from it would give the offsets of its records
// away. Or the two use one bucket, and would delete each other's objects.
func (n *Node) lookForLost(ctx context.Context) error {
	if n.replica.Position().Seq > 0 {
		return nil
	}
	cluster, err := n.clusterID(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()
	other, err := index.Other(ctx, n.opts.Stores.Objects, cluster)
	if err != nil || other == nil {
		return err
	}
	return fmt.Errorf("the metastore is empty, and %s in %s is a copy of what cluster %s knew. If its metastore was lost, `runnel rebuild` makes it anew "+
		"in this one (docs/recovery.md). If it is another cluster, give each a prefix of its own; if nothing of it is wanted, delete what lies under %s: %w",
		other.Key(), n.opts.Config.ObjectStore.URL, other.Cluster, index.Prefix(other.Cluster), metastore.ErrRegressed)
}

func (n *Node) clusterID(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	return n.opts.Stores.Metastore.ClusterID(ctx)
}

func (n *Node) checkObjects(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	return n.opts.Stores.Objects.Check(ctx)
}

// note keeps the state of a component for /readyz and logs it when it changes.
func (n *Node) note(component string, err error) {
	if !n.ready.set(component, err) {
		return
	}
	switch {
	case errors.Is(err, metastore.ErrRegressed):
		n.log.Error("not ready", "component", component, "error", oneLine(err))
	case err != nil:
		n.log.Warn("not ready", "component", component, "error", oneLine(err))
	default:
		n.log.Info("ready again", "component", component)
	}
}
