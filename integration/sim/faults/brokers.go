package faults

import (
	"context"
	"errors"
)

// end ends brokers, and returns what starts them again.
func (n *Nemesis) end(ctx context.Context, f *Fault) (func() error, error) {
	bounded := func() (context.Context, context.CancelFunc) {
		return context.WithTimeout(context.WithoutCancel(ctx), patience)
	}
	stopCtx, cancel := bounded()
	defer cancel()
	err := each(f.Brokers, func(broker int) error {
		if f.Kind == Crash {
			n.kill(broker)
			return n.opts.Cluster.Crash(broker)
		}
		err := n.opts.Cluster.Stop(stopCtx, broker)
		n.kill(broker)
		return err
	})
	start := func() error {
		startCtx, cancel := bounded()
		defer cancel()
		return each(f.Brokers, func(broker int) error { return n.opts.Cluster.Start(startCtx, broker) })
	}
	if err != nil {
		return nil, errors.Join(err, start())
	}
	return start, nil
}

// each does something to all brokers at once.
func each(brokers []int, do func(broker int) error) error {
	failures := make(chan error, len(brokers))
	for _, broker := range brokers {
		go func() { failures <- do(broker) }()
	}
	var err error
	for range brokers {
		err = errors.Join(err, <-failures)
	}
	return err
}

// pause lets the calls of brokers wait until resume: those that begin, and the answers to those under way.
func (n *Nemesis) pause(brokers []int) {
	for _, broker := range brokers {
		n.mu.Lock()
		n.gates[broker] = make(chan struct{})
		n.mu.Unlock()
		n.opts.Cluster.Pause(broker)
	}
}

func (n *Nemesis) resume(brokers []int) {
	for _, broker := range brokers {
		n.opts.Cluster.Resume(broker)
		n.mu.Lock()
		close(n.gates[broker])
		n.gates[broker] = nil
		n.mu.Unlock()
	}
}

// kill ends the calls of a broker's stores: those under way find no one to answer, and there are no others.
func (n *Nemesis) kill(broker int) {
	n.mu.Lock()
	l := n.lives[broker]
	n.lives[broker] = nil
	n.mu.Unlock()
	if l != nil {
		close(l.ended)
	}
}
