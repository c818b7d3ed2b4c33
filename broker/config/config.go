// Package config is the configuration of one broker process: the keys of its YAML file, each of which is also an
// environment variable and a flag.
//
// One table (keys.go) drives all of them, the checks, `runnel config print` and docs/config.md. A flag wins over the
// environment, the environment over the file, the file over the default. Cluster-wide settings stand under the key
// cluster by their Kafka names and are resolved by package settings.
package config

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"time"

	"github.com/runnel-io/runnel/broker/settings"
)

// Config is a checked configuration. Fields are named after the keys.
type Config struct {
	// Listeners are at least one; the first is where clients are sent of which it is not known by which they came. Listen,
	// Advertise and Protocol are what the only one was made of, if no others were named.
	Listeners []Listener
	Listen    string // host:port, host may be empty for all interfaces
	Advertise string
	Protocol  string
	TLS       TLS
	NodeID    int32  // -1: the lowest free id is leased
	Zone      string // availability zone; "" if none; see ParseAuto
	Client    Client
	Admin     Admin
	Peer      Peer
	SASL      SASL
	Auth      Auth

	// AllowUnsafe names what Unsafe may find.
	AllowUnsafe []string

	Cluster *settings.Cluster
	Access  Access

	Metastore   Metastore
	Migrate     bool // brokers bring the metastore to what they need
	ObjectStore ObjectStore
	Segment     Segment
	Linger      Linger
	Put         Put
	Memory      Memory
	Compaction  Compaction
	Garbage     Garbage
	Index       Index
	Log         Log
	Audit       Audit
	Drain       Drain
	Quota       Quota
}

// Client says in which zone clients are that do not say so themselves.
type Client struct {
	Zone    string // of those whose address lies in no subnet; "": unknown
	Subnets []Subnet
}

// Subnet is the addresses of clients of one zone.
type Subnet struct {
	Prefix netip.Prefix
	Zone   string
}

// Admin is the HTTP server for probes and metrics.
type Admin struct {
	Listen          string // host:port; "": none
	Token           string // lets callers from other machines see metrics; "": none
	Certificate     string // PEM files
	Key             string
	ClientAuthority string // whose certificates do the same; "": none
	OpenMetrics     bool   // everybody may see them
}

// Peer is the port on which brokers reach each other, and what authenticates them.
type Peer struct {
	Listen      string // host:port
	Advertise   string // host:port for other brokers; "": derived by Advertised
	Secret      string // shared by all brokers; "": none
	Certificate string // PEM files, all or none
	Key         string
	Authority   string
}

// Enabled tells whether there is a peer port: not without something that authenticates other brokers.
func (p *Peer) Enabled() bool { return p.Listen != "" && (p.Secret != "" || p.Certificate != "") }

// Advertised returns the address that other brokers are told, for a port that listens on bound; see Listener.Advertised.
func (p *Peer) Advertised(bound net.Addr) (host string, port int32, err error) {
	return advertised(p.Advertise, bound)
}

// Metastore says where metadata lives, and how to log in.
type Metastore struct {
	URL          string // postgres://..., file:///dir or memory://; with Password in it
	Password     string
	PasswordFile string // what Password was read from, and is to be for each connection; "": none
	Auth         string // "", AuthPassword or AuthAWSIAM
	Authorities  string // PEM; "": those of the system, or of the URL
}

// How brokers log in to PostgreSQL.
const (
	AuthPassword = "password"
	AuthAWSIAM   = "aws_iam"
)

// ObjectStore says where segments live, and for S3 how to reach it.
type ObjectStore struct {
	URL       string // s3://bucket/prefix, file:///dir or memory://
	Endpoint  string // "": AWS's own
	Region    string // "": from the AWS SDK's chain
	PathStyle bool
	AccessKey string // "": from the AWS SDK's chain
	SecretKey string
}

// Segment bounds what a broker writes as one object.
type Segment struct {
	Size int64 // bytes
}

// Linger bounds how long a batch waits for company before its segment is sealed.
type Linger struct {
	Min time.Duration
	Max time.Duration
}

// Put bounds what uploads cost.
type Put struct {
	Rate int // early ones per second
}

// Memory bounds what a broker holds.
type Memory struct {
	Produce int64 // bytes of records received and not yet acknowledged
	Cache   int64 // bytes of segments kept for fetches
}

// Compaction is the rewriting of small objects as large ones, and of compacted topics.
type Compaction struct {
	Enabled bool          // of small objects; that of topics is Cluster.CleanerEnabled
	Delay   time.Duration // after which a segment is rewritten at the earliest
	Memory  int64         // bytes, of each of the two
}

// Garbage is the deletion of objects that nothing names.
type Garbage struct {
	Grace  time.Duration // that an object stays
	Sweep  time.Duration // in which the bucket is looked through once; 0: never
	DryRun bool          // what would be deleted is logged
}

// Index is the copying of what the metastore knows to the bucket.
type Index struct {
	Interval time.Duration // 0: never
}

// Log says how the process logs.
type Log struct {
	Level  string // debug, info, warn or error
	Format string // text or json
}

// Drain bounds a graceful stop.
type Drain struct {
	Timeout time.Duration
}

func advertised(address string, bound net.Addr) (host string, port int32, err error) {
	if address == "" {
		address = bound.String()
	}
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, fmt.Errorf("split advertised address: %w", err)
	}
	if text == "" { // that of Locate
		if _, text, err = net.SplitHostPort(bound.String()); err != nil {
			return "", 0, fmt.Errorf("split bound address: %w", err)
		}
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return "", 0, fmt.Errorf("parse port of advertised address %s: %w", address, err)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		if host, err = os.Hostname(); err != nil {
			return "", 0, fmt.Errorf("read host name to advertise: %w", err)
		}
	}
	return host, int32(n), nil
}
