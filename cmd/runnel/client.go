package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	connectTimeout = 10 * time.Second
	retryTimeout   = 20 * time.Second // of one request, over all its retries
)

// connect makes a client and makes sure that a broker answers, because the client itself would try for ever.
func connect(ctx context.Context, env *environment, opts ...kgo.Opt) (*kgo.Client, error) {
	var seeds []string
	for seed := range strings.SplitSeq(env.bootstrap, ",") {
		if seed = strings.TrimSpace(seed); seed == "" {
			continue
		}
		if err := checkSeed(seed); err != nil {
			return nil, err
		}
		seeds = append(seeds, seed)
	}
	if len(seeds) == 0 {
		return nil, usagef("--bootstrap names no broker")
	}
	who, err := env.login.options(env)
	if err != nil {
		return nil, err
	}
	common := slices.Concat(who, []kgo.Opt{
		kgo.SeedBrokers(seeds...),
		kgo.ClientID("runnel-cli"),
		kgo.SoftwareNameAndVersion("runnel-cli", versionForKafka()),
		kgo.DialTimeout(connectTimeout),
		kgo.RetryTimeout(retryTimeout),
	})
	if env.verbose {
		common = append(common, kgo.WithLogger(kgo.BasicLogger(env.err, kgo.LogLevelDebug, nil)))
	}
	client, err := kgo.NewClient(append(common, opts...)...)
	if err != nil {
		return nil, usagef("%w", err)
	}
	seed, err := firstToAnswer(ctx, client)
	if err == nil && len(seeds) > 1 {
		err = client.UpdateSeedBrokers(seeds[seed])
	}
	if err != nil {
		client.Close()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if refused := loginFailed(err); refused != nil {
			return nil, refused
		}
		return nil, &unreachableError{env.bootstrap, err}
	}
	return client, nil
}

// firstToAnswer asks all seeds at once and returns which answers first. One after the other, one that hangs would take all
// the time. The error is that of the last to fail.
func firstToAnswer(ctx context.Context, client *kgo.Client) (seed int, err error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	type answer struct {
		seed int
		err  error
	}
	seeds := client.SeedBrokers()
	answers := make(chan answer, len(seeds))
	for i, b := range seeds {
		go func() {
			req := kmsg.NewPtrMetadataRequest()
			req.Topics = []kmsg.MetadataRequestTopic{}
			_, err := b.Request(ctx, req)
			answers <- answer{i, err}
		}()
	}
	var last answer
	for range seeds {
		if last = <-answers; last.err == nil {
			break
		}
	}
	return last.seed, last.err
}

// checkSeed refuses what is neither host nor host:port.
func checkSeed(seed string) error {
	if strings.Contains(seed, "/") {
		return usagef("--bootstrap takes host:port, not a URL such as %q", seed)
	}
	if !strings.Contains(seed, ":") || net.ParseIP(seed) != nil {
		return nil // a host, on Kafka's port
	}
	host, port, err := net.SplitHostPort(seed)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil || host == "" {
		return usagef("--bootstrap %q must be host:port", seed)
	}
	return nil
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
	return fmt.Sprintf("cannot reach %s: %s", e.bootstrap, reason(e.err))
}

// reason is why a broker could not be asked.
func reason(err error) string {
	if dial := (*net.OpError)(nil); errors.As(err, &dial) && dial.Op == "dial" {
		err = dial.Err // what stands around it says only that dialing failed
	}
	return err.Error()
}

func (e *unreachableError) Unwrap() error { return e.err }

// hint says what to do about an error, if there is something.
func hint(err error, bootstrap string) string {
	var unreachable *unreachableError
	var stalled *stalledError
	var name *net.DNSError
	var certificate *tls.CertificateVerificationError
	isUnreachable := errors.As(err, &unreachable)
	switch {
	case isUnreachable && errors.Is(err, syscall.ECONNREFUSED):
		return "Nothing listens there. Start a broker with `runnel dev`, or name another with --bootstrap or RUNNEL_BOOTSTRAP."
	case errors.Is(err, syscall.EADDRINUSE):
		return "Something listens there already, perhaps another broker. Choose another address with --listen; the flags of further ports are in --help."
	case isUnreachable && errors.As(err, &name):
		return "Name another with --bootstrap or RUNNEL_BOOTSTRAP."
	case isUnreachable && errors.As(err, &certificate):
		return certificateHint(certificate.Err)
	case errors.Is(err, syscall.ECONNREFUSED), errors.As(err, &name):
		return "Is the server up, and is this its address?"
	case isUnreachable:
		return "Does the listener ask for a login (--user, --token-file), or for TLS (--tls)? Name another with --bootstrap or RUNNEL_BOOTSTRAP."
	case errors.Is(err, kerr.SaslAuthenticationFailed):
		return "Are --user and the password right, and does the user have credentials of this --sasl-mechanism (`runnel user list`)?"
	case errors.Is(err, kerr.UnsupportedSaslMechanism):
		return "Choose another --sasl-mechanism."
	case errors.Is(err, kerr.IllegalSaslState):
		return "The listener does not ask for a login: leave out --user and the like."
	case errors.Is(err, kerr.UnknownTopicOrPartition), errors.Is(err, kerr.UnknownTopicID):
		return "See what exists with `runnel topic list`; make one with `runnel topic create NAME`."
	case errors.Is(err, kerr.TopicAlreadyExists):
		return "Add --if-not-exists if that is fine."
	case errors.Is(err, kerr.GroupIDNotFound):
		return "See what exists with `runnel group list`."
	case errors.Is(err, kerr.TransactionalIDNotFound):
		return "See what exists with `runnel txn list`."
	case errors.Is(err, kerr.NonEmptyGroup):
		return "Stop its members first; `runnel group describe NAME` shows them."
	case slices.ContainsFunc(denials, func(denial error) bool { return errors.Is(err, denial) }):
		return "`runnel acl explain PRINCIPAL OPERATION TYPE NAME` tells who may list rules what is allowed, and by which."
	case errors.Is(err, kerr.SecurityDisabled):
		return "Set `authorizer: on`, or `shadow`, in the configuration of the brokers."
	case errors.Is(err, kerr.MessageTooLarge):
		return "The topic's max.message.bytes (cluster default: message.max.bytes) is the limit."
	case errors.As(err, &stalled):
		return "Are the brokers behind " + bootstrap + " up? Run with --verbose to see what the client tries."
	}
	return ""
}

// denials are what brokers say to those whom no rule allows something.
var denials = []error{kerr.TopicAuthorizationFailed, kerr.GroupAuthorizationFailed, kerr.ClusterAuthorizationFailed, kerr.TransactionalIDAuthorizationFailed}

// certificateHint says what to do about a broker's certificate that is not believed.
func certificateHint(err error) string {
	if host := (x509.HostnameError{}); errors.As(err, &host) {
		return "Name the broker in --bootstrap as its certificate does."
	}
	return "Name the file of the authorities that sign the brokers' certificates with --tls-ca or RUNNEL_CLIENT_TLS_CA."
}

// withDetail adds what the broker says about an error code.
func withDetail(subject string, err error, detail string) error {
	var code *kerr.Error
	if !errors.As(err, &code) {
		return fmt.Errorf("%s: %w", subject, err)
	}
	switch {
	case detail != "":
	case errors.Is(err, kerr.UnknownTopicOrPartition):
		detail = "there is no such topic or partition"
	case errors.Is(err, kerr.GroupIDNotFound):
		detail = "there is no such group"
	case errors.Is(err, kerr.TransactionalIDNotFound):
		detail = "there is no such id"
	default:
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
