package runneltest

import (
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/runnel-io/runnel/broker/config"
)

// Option says how a cluster is to be.
type Option func(*options)

type options struct {
	brokers     int
	topics      []topic
	cluster     []string          // "name=value"
	config      map[string]string // keys of docs/config.md
	dir         string
	tls         bool
	users       []user
	rules       []string
	supers      []string
	authorizes  bool
	giveUpAfter time.Duration // 0: as a broker does
	live        *slog.Level   // nil: lines are kept for a failure
}

type topic struct {
	name       string
	partitions int
	configs    []string // "name=value"
}

type user struct{ name, password string }

// mostBrokers bounds a cluster: each broker has a megabyte or two, and some dozens of goroutines.
const mostBrokers = 100

// defaults are those of brokers, but for what makes tests wait, or large.
func defaults() options {
	return options{
		brokers: 1,
		cluster: []string{"group.initial.rebalance.delay.ms=0"},
		config: map[string]string{
			"linger.min": "0s", "linger.max": "5ms", "put.rate": "1000", "drain.timeout": "5s",
			"memory.produce": "64MiB", "memory.cache": "64MiB", "compaction.memory": "48MiB",
			"admin.listen": "", "log.level": "info",
		},
	}
}

// WithBrokers makes a cluster of several brokers, which share topics and groups, and take over from each other. Default: 1.
func WithBrokers(n int) Option { return func(o *options) { o.brokers = n } }

// WithTopic makes a topic with so many partitions, and configs of the form "name=value" by Kafka's names, such as
// "cleanup.policy=compact". It may be given more than once. Topics that are not made are made when a client asks for them
// with leave to do so, as Kafka does, unless "auto.create.topics.enable" is false (WithClusterDefault).
func WithTopic(name string, partitions int, configs ...string) Option {
	return func(o *options) { o.topics = append(o.topics, topic{name, partitions, configs}) }
}

// WithClusterDefault sets a setting of the cluster by Kafka's name for it, as in server.properties: "num.partitions",
// "auto.create.topics.enable", "message.max.bytes" and so on; docs/config.md lists them. Beside what differs by option, tests
// have "group.initial.rebalance.delay.ms" at 0, so that groups of one consumer need not wait 3 s.
func WithClusterDefault(name, value string) Option {
	return func(o *options) { o.cluster = append(o.cluster, name+"="+value) }
}

// WithConfig sets a key of a broker's own configuration, those of `runnel broker` in docs/config.md: "memory.cache", "zone",
// "quota.…". What tests have otherwise than brokers: records wait for company for 5 ms at most (linger.max), memory is small, and
// there is no admin server. "listen" and what is about listeners and stores is not to be set.
func WithConfig(key, value string) Option {
	return func(o *options) { o.config[key] = value }
}

// WithDir keeps metadata and records in a directory, as `runnel dev --data` does, with an fsync for each commit: slower than
// memory, and there for another Start, or another process, when this one is over.
func WithDir(dir string) Option { return func(o *options) { o.dir = dir } }

// WithTLS has the brokers speak TLS, with a certificate for 127.0.0.1 and localhost of an authority that was made for this
// test: Cluster.TLS and Cluster.CAFile are for clients.
func WithTLS() Option { return func(o *options) { o.tls = true } }

// WithUser has clients log in by SASL, and makes a user with a password; it may be given more than once. Mechanisms are
// SCRAM-SHA-256, SCRAM-SHA-512 and PLAIN.
func WithUser(name, password string) Option {
	return func(o *options) { o.users = append(o.users, user{name, password}) }
}

// WithACLs turns access rules on, and makes some: a line each, as `runnel acl list --format rules` prints them, such as
//
//	Topic:LITERAL:orders ALLOW Write * User:alice
//	Topic:PREFIXED:logs- ALLOW Read * User:bob
//	Group:LITERAL:billing ALLOW Read * User:bob
//
// with the resource's type, pattern and name, ALLOW or DENY, the operation, the client's address or *, and the principal. What no
// rule allows is denied, except to super users. Clients that do not log in (WithUser) are User:ANONYMOUS.
func WithACLs(rules ...string) Option {
	return func(o *options) { o.rules, o.authorizes = append(o.rules, rules...), true }
}

// WithSuperUsers turns access rules on, and names users who may do everything.
func WithSuperUsers(names ...string) Option {
	return func(o *options) { o.supers, o.authorizes = append(o.supers, names...), true }
}

// WithGiveUpAfter has brokers refuse records that the stores have not taken after this time, and not after a minute and more as they
// do otherwise: for tests of what becomes of a producer's error.
func WithGiveUpAfter(d time.Duration) Option { return func(o *options) { o.giveUpAfter = d } }

// WithLogs writes the brokers' log lines of this level and above to the test's log as they come. Otherwise they are kept, the last
// some thousand, and written only if the test fails.
func WithLogs(level slog.Level) Option { return func(o *options) { o.live = &level } }

// flags are the keys of a broker's configuration, and set the cluster's settings.
func (o *options) flags(listen string, id int) (flags map[string]string, set []string) {
	flags = map[string]string{"listen": listen, "node_id": strconv.Itoa(id), "protocol": o.protocol()}
	if len(o.users) > 0 {
		flags["sasl.mechanisms"] = "SCRAM-SHA-256,SCRAM-SHA-512,PLAIN"
	}
	set = o.cluster
	if o.authorizes {
		flags["authorizer"] = "on"
	}
	if len(o.supers) > 0 {
		set = append(set[:len(set):len(set)], "super.users=User:"+strings.Join(o.supers, ";User:"))
	}
	for key, value := range o.config {
		flags[key] = value
	}
	return flags, set
}

func (o *options) protocol() string {
	switch {
	case o.tls && len(o.users) > 0:
		return config.SASLSSL
	case o.tls:
		return config.SSL
	case len(o.users) > 0:
		return config.SASLPlaintext
	}
	return config.Plaintext
}
