package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	connectTimeout = 10 * time.Second
	retryTimeout   = 20 * time.Second // of one request, over all its retries
)

// connect makes a client and makes sure that a broker answers, because the client itself would try for ever.
func connect(ctx context.Context, env *environment, opts ...kgo.Opt) (*kgo.Client, error) {
	var seeds []string
	for seed := range strings.SplitSeq(env.bootstrap, ",") {
		if seed = strings.TrimSpace(seed); seed != "" {
			seeds = append(seeds, seed)
		}
	}
	if len(seeds) == 0 {
		return nil, usagef("--bootstrap names no broker")
	}
	common := []kgo.Opt{
		kgo.SeedBrokers(seeds...),
		kgo.ClientID("runnel-cli"),
		kgo.SoftwareNameAndVersion("runnel-cli", versionForKafka()),
		kgo.DialTimeout(connectTimeout),
		kgo.RetryTimeout(retryTimeout),
	}
	if env.verbose {
		common = append(common, kgo.WithLogger(kgo.BasicLogger(env.err, kgo.LogLevelDebug, nil)))
	}
	client, err := kgo.NewClient(append(common, opts...)...)
	if err != nil {
		return nil, usagef("%w", err)
	}
	pinging, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	if err := client.Ping(pinging); err != nil {
		client.Close()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, &unreachableError{env.bootstrap, err}
	}
	return client, nil
}

// connectAdmin is connect for administration.
func connectAdmin(ctx context.Context, env *environment) (*kadm.Client, error) {
	client, err := connect(ctx, env)
	if err != nil {
		return nil, err
	}
	return kadm.NewClient(client), nil
}

// unreachableError says that no broker answered.
type unreachableError struct {
	bootstrap string
	err       error
}

func (e *unreachableError) Error() string {
	if errors.Is(e.err, context.DeadlineExceeded) {
		return fmt.Sprintf("no answer from %s within %s", e.bootstrap, connectTimeout)
	}
	return fmt.Sprintf("cannot reach %s: %v", e.bootstrap, e.err)
}

func (e *unreachableError) Unwrap() error { return e.err }

// hint says what to do about an error, if there is something.
func hint(err error, bootstrap string) string {
	var unreachable *unreachableError
	var stalled *stalledError
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "Nothing listens there. Start a broker with `runnel dev`, or name another with --bootstrap or RUNNEL_BOOTSTRAP."
	case errors.Is(err, syscall.EADDRINUSE):
		return "Something listens there already, perhaps another broker. Choose another address with --listen and --admin."
	case errors.As(err, &unreachable):
		return "Is it a Kafka listener without TLS? Name another with --bootstrap or RUNNEL_BOOTSTRAP."
	case errors.Is(err, kerr.UnknownTopicOrPartition), errors.Is(err, kerr.UnknownTopicID):
		return "See what exists with `runnel topic list`; make one with `runnel topic create NAME`."
	case errors.Is(err, kerr.TopicAlreadyExists):
		return "Add --if-not-exists if that is fine."
	case errors.Is(err, kerr.NonEmptyGroup):
		return "Stop its members first; `runnel group describe NAME` shows them."
	case errors.Is(err, kerr.MessageTooLarge):
		return "The topic's max.message.bytes (cluster default: message.max.bytes) is the limit."
	case errors.As(err, &stalled):
		return "Are the brokers behind " + bootstrap + " up? Run with --verbose to see what the client tries."
	}
	return ""
}

// withDetail adds what the broker says about an error code.
func withDetail(subject string, err error, detail string) error {
	var code *kerr.Error
	if !errors.As(err, &code) {
		return fmt.Errorf("%s: %w", subject, err)
	}
	if detail == "" {
		detail = code.Description
	}
	return &brokerError{text: fmt.Sprintf("%s: %s (%s)", subject, strings.TrimSuffix(detail, "."), code.Message), err: err}
}

// brokerError is an error code that a broker answered, with its words.
type brokerError struct {
	text string
	err  error
}

func (e *brokerError) Error() string { return e.text }
func (e *brokerError) Unwrap() error { return e.err }
