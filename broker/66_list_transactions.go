package broker

import (
	"context"
	"regexp"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/broker/acl"
	"github.com/runnel-io/runnel/broker/group"
	"github.com/runnel-io/runnel/broker/wire"
	"github.com/runnel-io/runnel/metastore"
)

// ListTransactions (66), versions 0 to 2 (KIP-664): the transactional ids that this broker coordinates, as FindCoordinator says,
// so that a tool that asks every broker sees each once. v1 (KIP-994) leaves out what has not run for longer than a duration,
// v2 (KIP-1152) what a regular expression in the syntax of RE2 does not match as a whole. Kafka's states in between are
// known as filters, and nothing is ever in them.

func (b *Broker) listTransactions(ctx context.Context, c *wire.Conn, req *kmsg.ListTransactionsRequest) *kmsg.ListTransactionsResponse {
	resp := respond[*kmsg.ListTransactionsResponse](req)
	wanted, err := newTransactionFilter(req, b.Now())
	switch {
	case err != nil:
		resp.ErrorCode = kerr.InvalidRegularExpression.Code
		return resp
	case b.Membership.Elsewhere() || !b.refreshed(ctx):
		resp.ErrorCode = kerr.CoordinatorNotAvailable.Code
		return resp
	}
	resp.UnknownStateFilters = wanted.unknownStates
	live := b.brokers(c.Endpoint().Name)
	b.States.Transactions(func(t *metastore.Transaction) bool {
		if wanted.matches(t) && b.coordinates(t.ID, live) && b.sees(c, acl.Describe, acl.TransactionalID, t.ID) {
			row := kmsg.NewListTransactionsResponseTransactionState()
			row.TransactionalID, row.ProducerID, row.TransactionState = t.ID, int64(t.Producer), stateNames[t.State]
			resp.TransactionStates = append(resp.TransactionStates, row)
		}
		return true
	})
	return resp
}

// transientStates are those of Kafka's that do not exist here.
var transientStates = []string{"PrepareCommit", "PrepareAbort", "PrepareEpochFence", "Dead"}

type transactionFilter struct {
	states        map[string]bool // nil: all
	unknownStates []string
	producers     map[metastore.ProducerID]bool // nil: all
	longer        int64                         // in milliseconds; negative: whatever their age
	pattern       *regexp.Regexp                // nil: all
	now           time.Time
}

func newTransactionFilter(req *kmsg.ListTransactionsRequest, now time.Time) (*transactionFilter, error) {
	f := &transactionFilter{longer: -1, now: now}
	for _, name := range req.StateFilters {
		if f.states == nil {
			f.states = make(map[string]bool)
		}
		known := slices.Contains(transientStates, name)
		for _, n := range stateNames {
			known = known || n == name
		}
		switch {
		case known:
			f.states[name] = true
		case !slices.Contains(f.unknownStates, name):
			f.unknownStates = append(f.unknownStates, name)
		}
	}
	for _, id := range req.ProducerIDFilters {
		if f.producers == nil {
			f.producers = make(map[metastore.ProducerID]bool)
		}
		f.producers[metastore.ProducerID(id)] = true
	}
	if req.Version >= 1 && req.DurationFilterMillis >= 0 {
		f.longer = req.DurationFilterMillis
	}
	if req.Version >= 2 && deref(req.TransactionalIDPattern) != "" {
		pattern, err := group.CompileRegex(*req.TransactionalIDPattern)
		if err != nil {
			return nil, err
		}
		f.pattern = pattern
	}
	return f, nil
}

// ranSince is what durations count from, in milliseconds. As in Kafka, what has not begun runs since 1970, and what has
// ended goes on: there since it began, here since it ended.
func ranSince(t *metastore.Transaction) int64 {
	if t.State == metastore.TxnCompleteCommit || t.State == metastore.TxnCompleteAbort {
		return t.ChangedAt.UnixMilli()
	}
	return started(t)
}

// matches tells whether a transaction is wanted.
func (f *transactionFilter) matches(t *metastore.Transaction) bool {
	switch {
	case f.states != nil && !f.states[stateNames[t.State]]:
		return false
	case f.producers != nil && !f.producers[t.Producer]:
		return false
	case f.longer >= 0 && f.now.UnixMilli()-ranSince(t) <= f.longer:
		return false
	}
	return f.pattern == nil || f.pattern.MatchString(t.ID)
}
