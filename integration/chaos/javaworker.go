package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/runnel-io/runnel/integration/history"
)

// javaWorker is one that does one operation after the other with Kafka's own clients.
type javaWorker struct {
	*javaLoad
	number int
	rng    *rand.Rand
	value  int64 // the last one sent
	opened int   // clients
	client string
}

// open makes a client, in place of the one before.
func (w *javaWorker) open(kind string, args ...string) error {
	if _, err := w.ask(w.number, "close"); errors.Is(err, errNoAnswer) {
		return err // other errors are of a client that is gone in any case
	}
	w.opened++
	w.client = fmt.Sprintf("java-%d/%d", w.number, w.opened)
	_, err := w.ask(w.number, kind, args...)
	return err
}

// think waits between two operations.
func (w *javaWorker) think(ctx context.Context) {
	select {
	case <-time.After(time.Duration(20+w.rng.IntN(150)) * time.Millisecond):
	case <-ctx.Done():
	}
}

// opened tells whether to go on with a client that was asked for. An error of the cluster has another one made later.
func (w *javaWorker) usable(ctx context.Context, err error) (bool, error) {
	switch {
	case errors.Is(err, errNoAnswer):
		return false, err
	case err != nil:
		w.recorder.Happened(history.Operation{
			Kind: history.Admin, Text: "open a client", Worker: w.number, Client: w.client, Outcome: history.Unknown, Error: err.Error(),
		})
		w.think(ctx)
		return false, nil
	}
	return true, nil
}

// transact opens a transactional producer and uses it until an error, after which the outcome of a transaction is not known.
func (w *javaWorker) transact(ctx context.Context) error {
	id := fmt.Sprint("java-", w.number)
	if ok, err := w.usable(ctx, w.open("producer", id)); !ok {
		return err
	}
	for ctx.Err() == nil {
		o := w.recorder.Begin(history.Operation{Kind: history.Transaction, Worker: w.number, Client: w.client, TransactionalID: id})
		outcome, err := w.transaction(o)
		w.recorder.End(o, outcome, err)
		if errors.Is(err, errNoAnswer) {
			return err
		}
		w.think(ctx)
		if err != nil {
			return nil
		}
	}
	return nil
}

// transaction is one of up to three rounds of sends, of which one in four is aborted.
func (w *javaWorker) transaction(o *history.Operation) (history.Outcome, error) {
	if _, err := w.ask(w.number, "begin"); err != nil {
		return history.Failed, err
	}
	var sending error
	for range 1 + w.rng.IntN(3) {
		if sending = w.send(o); sending != nil {
			break
		}
	}
	if errors.Is(sending, errNoAnswer) {
		return history.Failed, sending // it is never asked to commit
	}
	o.Deciding = w.recorder.Moment()
	if sending != nil || w.rng.IntN(4) == 0 {
		if _, err := w.ask(w.number, "abort"); err != nil {
			return history.Failed, errors.Join(sending, err)
		}
		return history.OK, nil // the producer is good for another one
	}
	o.Commit = true
	if _, err := w.ask(w.number, "commit"); err != nil {
		return history.Unknown, err
	}
	return history.OK, nil
}

// send sends up to eight records at once, as steps of an operation.
func (w *javaWorker) send(o *history.Operation) error {
	args := []string{w.topic}
	begun := w.recorder.Moment()
	first := len(o.Steps)
	for range 1 + w.rng.IntN(8) {
		w.value++
		r := &history.Record{
			Partition: history.Partition{Topic: w.topic, Number: w.rng.Int32N(w.partitions)}, Offset: -1, Key: int64(w.number), Value: w.value,
		}
		args = append(args, strconv.Itoa(int(r.Number)), strconv.FormatInt(r.Key, 10), strconv.FormatInt(r.Value, 10))
		o.Steps = append(o.Steps, history.Step{Begun: begun, Outcome: history.Unknown, Send: r})
	}
	words, err := w.ask(w.number, "send", args...)
	if err != nil {
		return err
	}
	ended := w.recorder.Moment()
	sent := o.Steps[first:]
	for i := range sent {
		sent[i].Ended = ended
		if words[i] == "!" {
			continue
		}
		sent[i].Outcome = history.OK
		if sent[i].Send.Offset, err = strconv.ParseInt(words[i], 10, 64); err != nil {
			return fmt.Errorf("answer of the Java client: %w", err)
		}
	}
	if len(words) > len(sent) {
		return errors.New(strings.Join(words[len(sent):], " "))
	}
	return nil
}

// produce opens an idempotent producer and uses it until an error.
func (w *javaWorker) produce(ctx context.Context) error {
	if ok, err := w.usable(ctx, w.open("producer")); !ok {
		return err
	}
	for ctx.Err() == nil {
		o := w.recorder.Begin(history.Operation{Kind: history.Produce, Worker: w.number, Client: w.client})
		err := w.send(o)
		outcome := history.OK
		if err != nil {
			outcome = history.Unknown
		}
		w.recorder.End(o, outcome, err)
		if errors.Is(err, errNoAnswer) {
			return err
		}
		w.think(ctx)
		if err != nil {
			return nil
		}
	}
	return nil
}

// read opens a consumer and polls for a while, from the begin of all partitions.
func (w *javaWorker) read(isolation history.Isolation) func(ctx context.Context) error {
	return func(ctx context.Context) error {
		if ok, err := w.usable(ctx, w.open("consumer", string(isolation), w.topic, strconv.Itoa(int(w.partitions)))); !ok {
			return err
		}
		assign := history.Operation{Kind: history.Assign, Worker: w.number, Client: w.client, Isolation: isolation}
		for p := range w.partitions {
			partition := history.Partition{Topic: w.topic, Number: p}
			assign.Partitions = append(assign.Partitions, partition)
			assign.Offsets = append(assign.Offsets, history.At{Partition: partition, Offset: 0})
		}
		w.recorder.Happened(assign)
		for until := 100 + w.rng.IntN(200); until > 0 && ctx.Err() == nil; until-- {
			o := w.recorder.Begin(history.Operation{Kind: history.Poll, Worker: w.number, Client: w.client, Isolation: isolation})
			begun := w.recorder.Moment()
			words, err := w.ask(w.number, "poll")
			outcome := history.OK
			if err == nil {
				var records []history.Record
				records, err = w.records(words)
				o.Steps = []history.Step{{Begun: begun, Ended: w.recorder.Moment(), Outcome: history.OK, Read: records}}
			}
			if err != nil {
				outcome = history.Unknown
			}
			w.recorder.End(o, outcome, err)
			if errors.Is(err, errNoAnswer) {
				return err
			}
			if err != nil {
				return nil
			}
		}
		return nil
	}
}

// records are what a poll returned.
func (w *javaWorker) records(words []string) (all []history.Record, err error) {
	for ; len(words) >= 4; words = words[4:] {
		var n [4]int64
		for i, word := range words[:4] {
			if n[i], err = strconv.ParseInt(word, 10, 64); err != nil {
				return nil, fmt.Errorf("answer of the Java client: %w", err)
			}
		}
		all = append(all, history.Record{
			Partition: history.Partition{Topic: w.topic, Number: int32(n[0])}, Offset: n[1], Key: n[2], Value: n[3],
		})
	}
	return all, nil
}
