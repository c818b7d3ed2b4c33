package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func newTxn(env *environment) *cobra.Command {
	return clientFlags(env, parent("txn", "List, describe and abort transactions", newTxnList(env), newTxnDescribe(env), newTxnAbort(env)))
}

func newTxnList(env *environment) *cobra.Command {
	var states []string
	var pattern string
	cmd := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List transactional ids",
		Args:    args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			admin, err := connectAdmin(cmd.Context(), env)
			if err != nil {
				return err
			}
			defer admin.Close()
			listed, err := admin.ListTransactionsByTxPattern(cmd.Context(), nil, states, pattern)
			if err != nil {
				return fmt.Errorf("list transactions: %w", err)
			}
			return writeTxnList(env, listed)
		},
	}
	cmd.Flags().StringSliceVar(&states, "state", nil, "only those in the state (Empty, Ongoing, CompleteCommit, CompleteAbort)")
	cmd.Flags().StringVar(&pattern, "pattern", "", "only those that match the regular expression as a whole (brokers of 4.1 and later)")
	completeWords(cmd, "state", "Empty", "Ongoing", "CompleteCommit", "CompleteAbort")
	return cmd
}

type listedTxnJSON struct {
	ID          string `json:"transactional_id"`
	State       string `json:"state"`
	ProducerID  int64  `json:"producer_id"`
	Coordinator int32  `json:"coordinator"`
}

func writeTxnList(env *environment, listed kadm.ListedTransactions) error {
	ids := []listedTxnJSON{}
	for _, t := range listed.Sorted() {
		ids = append(ids, listedTxnJSON{t.TxnID, t.State, t.ProducerID, t.Coordinator})
	}
	if env.json {
		return writeJSON(env.out, ids)
	}
	t := newTable(env.out, "TRANSACTIONAL ID", "STATE", "PRODUCER", "COORDINATOR")
	for _, id := range ids {
		t.row(id.ID, id.State, id.ProducerID, id.Coordinator)
	}
	return t.flush()
}

func newTxnDescribe(env *environment) *cobra.Command {
	return &cobra.Command{
		Use:               "describe ID...",
		Short:             "Show what transactional ids are doing: producers, ages, partitions",
		Args:              args(cobra.MinimumNArgs(1)),
		ValidArgsFunction: completeNames(env, 0, transactionalIDs),
		RunE: func(cmd *cobra.Command, ids []string) error {
			admin, err := connectAdmin(cmd.Context(), env)
			if err != nil {
				return err
			}
			defer admin.Close()
			described, err := describeTxns(cmd.Context(), admin, ids)
			return writeDescribed(env, described, err)
		},
	}
}

func transactionalIDs(ctx context.Context, admin *kadm.Client) (ids []string, err error) {
	listed, err := admin.ListTransactions(ctx, nil, nil)
	for _, t := range listed.Sorted() {
		ids = append(ids, t.TxnID)
	}
	return ids, err
}

type txnJSON struct {
	ID          string         `json:"transactional_id"`
	State       string         `json:"state"`
	ProducerID  int64          `json:"producer_id"`
	Epoch       int16          `json:"producer_epoch"`
	Timeout     int32          `json:"timeout_ms"`
	Started     *time.Time     `json:"started,omitempty"` // of the transaction, if it is known
	Coordinator int32          `json:"coordinator"`
	Topics      []txnTopicJSON `json:"topics"`
}

type txnTopicJSON struct {
	Topic      string  `json:"topic"`
	Partitions []int32 `json:"partitions"`
}

// describeTxns returns what can be told, and an error for each transactional id that cannot be described.
func describeTxns(ctx context.Context, admin *kadm.Client, ids []string) ([]txnJSON, error) {
	described, errs := []txnJSON{}, []error{}
	answers, err := admin.DescribeTransactions(ctx, ids...)
	if err != nil {
		errs = append(errs, fmt.Errorf("describe transactions: %w", err))
	}
	for _, t := range answers.Sorted() {
		if t.Err != nil {
			errs = append(errs, withDetail("transactional id "+t.TxnID, t.Err, ""))
			continue
		}
		row := txnJSON{ID: t.TxnID, State: t.State, ProducerID: t.ProducerID, Epoch: t.ProducerEpoch, Timeout: t.TimeoutMillis,
			Coordinator: t.Coordinator, Topics: []txnTopicJSON{}}
		if t.StartTimestamp >= 0 {
			started := time.UnixMilli(t.StartTimestamp).UTC()
			row.Started = &started
		}
		for _, topic := range t.Topics.Sorted() {
			row.Topics = append(row.Topics, txnTopicJSON{topic.Topic, topic.Partitions})
		}
		described = append(described, row)
	}
	return described, errors.Join(errs...)
}

func (t txnJSON) write(env *environment) error {
	age := ""
	if t.Started != nil {
		age = fmt.Sprintf(", began %s ago", time.Since(*t.Started).Round(time.Second))
	}
	fmt.Fprintf(env.out, "transactional id %s, %s%s, producer %d at epoch %d, time-out %s, coordinator %d\n",
		t.ID, t.State, age, t.ProducerID, t.Epoch, time.Duration(t.Timeout)*time.Millisecond, t.Coordinator)
	for _, topic := range t.Topics {
		fmt.Fprintf(env.out, "  %s: %s\n", topic.Topic, joinInts(topic.Partitions))
	}
	return nil
}

func newTxnAbort(env *environment) *cobra.Command {
	return &cobra.Command{
		Use:   "abort ID...",
		Short: "Abort ongoing transactions, and fence their producers",
		Long: "Abort ongoing transactions, and fence their producers: what they do next fails, and they have to start anew.\n" +
			"A transactional id without an ongoing transaction is left alone, and is an error.",
		Args:              args(cobra.MinimumNArgs(1)),
		ValidArgsFunction: completeNames(env, 0, transactionalIDs),
		RunE: func(cmd *cobra.Command, ids []string) error {
			client, err := connect(cmd.Context(), env)
			if err != nil {
				return err
			}
			defer client.Close()
			described, err := describeTxns(cmd.Context(), kadm.NewClient(client), ids)
			errs, aborted := []error{err}, []string{}
			for _, t := range described {
				if t.State != "Ongoing" {
					errs = append(errs, fmt.Errorf("transactional id %s has no ongoing transaction: it is %s", t.ID, t.State))
					continue
				}
				if err := abortTxn(cmd.Context(), client, t); err != nil {
					errs = append(errs, withDetail("transactional id "+t.ID, err, ""))
					continue
				}
				aborted = append(aborted, t.ID)
			}
			return errors.Join(append(errs, writeAborted(env, aborted))...)
		},
	}
}

// abortTxn takes the transactional id over, as a producer that starts does.
func abortTxn(ctx context.Context, client *kgo.Client, t txnJSON) error {
	req := kmsg.NewPtrInitProducerIDRequest()
	req.TransactionalID, req.TransactionTimeoutMillis = &t.ID, t.Timeout
	req.ProducerID, req.ProducerEpoch = -1, -1
	answer, err := req.RequestWith(ctx, client)
	if err != nil {
		return err
	}
	if err := kerr.ErrorForCode(answer.ErrorCode); !errors.Is(err, kerr.ConcurrentTransactions) {
		return err
	}
	return nil // it is being aborted; brokers that do it in steps want to be asked again for the producer id, which we do not need
}

func writeAborted(env *environment, ids []string) error {
	if env.json {
		return writeJSON(env.out, map[string][]string{"aborted": ids})
	}
	if len(ids) > 0 {
		fmt.Fprintf(env.out, "aborted the transaction of %s\n", strings.Join(ids, ", "))
	}
	return nil
}
