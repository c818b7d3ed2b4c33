package config

import (
	"slices"
	"strings"
	"time"
)

// Key is one row of the table: a leaf of the YAML file.
type Key struct {
	Name     string // path in the file, "object_store.url"
	Kind     Kind
	Default  string // as it would stand in the file; "" is unset
	Required bool
	Doc      string // what it means, one or two sentences
	Secret   bool   // never shown
	set      func(c *Config, v value)
}

// Words are the values of a key that is a choice, nil of one that is not.
func (k Key) Words() []string {
	w, _ := k.Kind.(words)
	return w
}

// Env is the environment variable of the key.
func (k Key) Env() string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(k.Name, ".", "_"))
}

// Flag is the name of the key's flag, without dashes.
func (k Key) Flag() string {
	return strings.NewReplacer(".", "-", "_", "-").Replace(k.Name)
}

const envPrefix = "RUNNEL_"

// clusterKey is the one key that is no leaf: under it stand Kafka's broker-level settings.
const clusterKey = "cluster"

// ClusterFlag is the repeatable flag that sets a cluster default, as name=value.
const ClusterFlag = "set"

// ClusterEnv is the environment variable of a cluster default.
func ClusterEnv(setting string) string {
	return envPrefix + "CLUSTER_" + strings.ToUpper(strings.ReplaceAll(setting, ".", "_"))
}

// Keys returns the table, in the order of the documentation.
func Keys() []Key { return append([]Key(nil), keys...) }

func lookup(name string) (Key, bool) {
	for _, k := range keys {
		if k.Name == name {
			return k, true
		}
	}
	return Key{}, false
}

// keys are all of them, a file for each part.
var keys = slices.Concat(processKeys, auditKeys)

var processKeys = []Key{
	{Name: "listen", Kind: address, Default: "0.0.0.0:9092",
		Doc: "Address on which Kafka clients are served.",
		set: func(c *Config, v value) { c.Listen = v.text }},
	{Name: "advertise", Kind: reachableAddress,
		Doc: "Address that clients are told to connect to. Unset: the listen address, with the machine's host name in place of a wildcard.",
		set: func(c *Config, v value) { c.Advertise = v.text }},
	{Name: "node_id", Kind: nodeID,
		Doc: "Kafka node id. Unset: the lowest id that no live broker holds is leased from the metastore.",
		set: func(c *Config, v value) { c.NodeID = int32(v.number) }},
	{Name: "zone", Kind: text,
		Doc: "Availability zone of this broker, as clients name theirs: in client.rack, or as `zone=NAME` in their client.id, which takes printable ASCII without commas, semicolons, ampersands and spaces. Brokers of one zone that reach each other (peer.secret) read new records from the object store on behalf of each other; those without a zone count as in one.",
		set: func(c *Config, v value) { c.Zone = v.text }},
	{Name: "client.subnets", Kind: subnets,
		Doc: "Zones of clients that do not name theirs in client.id, by their address: `10.0.1.0/24=a, 10.0.2.0/24=b, fd00::/64=b`. The longest prefix counts. Should be the same on all brokers: sizes that tools add up over brokers are right only then.",
		set: func(c *Config, v value) { c.Client.Subnets = v.subnets }},
	{Name: "client.zone", Kind: text,
		Doc: "Zone of the clients of this broker of which nothing else tells it. For brokers that only clients of their own zone reach first, such as behind a load balancer for each zone. Unset: unknown, and brokers of all zones are named to them as leaders.",
		set: func(c *Config, v value) { c.Client.Zone = v.text }},
	{Name: "admin.listen", Kind: optionalAddress, Default: "0.0.0.0:9644",
		Doc: "Address of the HTTP server for /livez, /readyz and /metrics. Empty: none.",
		set: func(c *Config, v value) { c.Admin.Listen = v.text }},
	{Name: "peer.listen", Kind: optionalAddress, Default: "0.0.0.0:9645",
		Doc: "Address on which other brokers of the cluster are served, if peer.secret or peer.certificate is set. Empty: none.",
		set: func(c *Config, v value) { c.Peer.Listen = v.text }},
	{Name: "peer.advertise", Kind: reachableAddress,
		Doc: "Address that other brokers are told to connect to. Unset: the peer.listen address, with the machine's host name in place of a wildcard.",
		set: func(c *Config, v value) { c.Peer.Advertise = v.text }},
	{Name: "peer.secret", Kind: peerSecret, Secret: true,
		Doc: "Secret that all brokers of the cluster share, of at least 16 random characters, such as `openssl rand -hex 24` prints. It authenticates and encrypts what they say to each other. Without it, or peer.certificate, every broker appends to the commit log on its own, which is slower with many of them, and reads new records from the object store for itself, which costs a GET per block for each. Flags are visible to every user of the machine: use the file or the environment.",
		set: func(c *Config, v value) { c.Peer.Secret = v.text }},
	{Name: "peer.certificate", Kind: text,
		Doc: "File with this broker's certificate for other brokers, in place of a shared secret; PEM. Its names must cover the host of peer.advertise.",
		set: func(c *Config, v value) { c.Peer.Certificate = v.text }},
	{Name: "peer.key", Kind: text,
		Doc: "File with the private key of peer.certificate; PEM.",
		set: func(c *Config, v value) { c.Peer.Key = v.text }},
	{Name: "peer.authority", Kind: text,
		Doc: "File with the certificate of the authority that signs the peer certificates of all brokers, and of nobody else; PEM.",
		set: func(c *Config, v value) { c.Peer.Authority = v.text }},
	{Name: "metastore.url", Kind: metastoreURL, Required: true,
		Doc: "Where metadata lives: `postgres://user:password@host/db`, `file:///directory` (one process, durable) or `memory://` (nothing survives). Required. " +
			"pgbouncer may stand in front of PostgreSQL, in transaction mode too; `runnel migrate` needs the database itself.",
		set: func(c *Config, v value) { c.Metastore.URL = v.text }},
	{Name: "object_store.url", Kind: objectStoreURL, Required: true,
		Doc: "Where records live: `s3://bucket/prefix`, `file:///directory` or `memory://` (nothing survives). Required.",
		set: func(c *Config, v value) { c.ObjectStore.URL = v.text }},
	{Name: "object_store.endpoint", Kind: endpointURL,
		Doc: "URL of an S3 server other than AWS's, such as `http://minio:9000`.",
		set: func(c *Config, v value) { c.ObjectStore.Endpoint = v.text }},
	{Name: "object_store.region", Kind: text,
		Doc: "Region of the bucket. Unset: what the AWS SDK finds in the environment; us-east-1 with an endpoint.",
		set: func(c *Config, v value) { c.ObjectStore.Region = v.text }},
	{Name: "object_store.path_style", Kind: triState, Default: "auto",
		Doc: "Whether the bucket stands in the path of requests and not in the host name. auto: if an endpoint is set.",
		set: func(c *Config, v value) { c.ObjectStore.PathStyle = v.text == "true" }},
	{Name: "object_store.access_key", Kind: text,
		Doc: "Access key id. Unset: credentials come from the AWS SDK's chain (environment, profile, instance or task role).",
		set: func(c *Config, v value) { c.ObjectStore.AccessKey = v.text }},
	{Name: "object_store.secret_key", Kind: text, Secret: true,
		Doc: "Secret of the access key. Flags are visible to every user of the machine: use the file or the environment.",
		set: func(c *Config, v value) { c.ObjectStore.SecretKey = v.text }},
	{Name: "segment.size", Kind: size{1 << 10, 1 << 30}, Default: "8MiB",
		Doc: "Size at which a segment is sealed and uploaded. A larger one costs fewer requests and holds more memory.",
		set: func(c *Config, v value) { c.Segment.Size = v.number }},
	{Name: "linger.max", Kind: duration, Default: "250ms",
		Doc: "Longest time that a batch waits for company. It waits so long only on a broker that takes half a segment.size in that time; topics may ask for less or more with `runnel.linger.max.ms`.",
		set: func(c *Config, v value) { c.Linger.Max = v.duration }},
	{Name: "linger.min", Kind: duration, Default: "2ms",
		Doc: "How long a batch waits for company at least, and after what silence a producer that waits for its answers is not waited for.",
		set: func(c *Config, v value) { c.Linger.Min = v.duration }},
	{Name: "put.rate", Kind: number{1, 1000}, Default: "25",
		Doc: "Uploads per second of segments that are not full while records trickle in. At 5 USD per million, 25 cost up to 324 USD a month and broker, and a record waits for up to 40 ms; 4 cost 52 USD, and it waits for up to 250 ms. An idle broker spends none of it.",
		set: func(c *Config, v value) { c.Put.Rate = int(v.number) }},
	{Name: "memory.produce", Kind: size{1 << 20, 1 << 50}, Default: "256MiB",
		Doc: "Bytes of records that may be received and not yet acknowledged. When they are spent, sockets are not read. Up to an eighth more lies ready for the next requests.",
		set: func(c *Config, v value) { c.Memory.Produce = v.number }},
	{Name: "memory.cache", Kind: size{0, 1 << 50}, Default: "256MiB",
		Doc: "Bytes of segments that are kept in memory for fetches: half for what this broker has written itself, a quarter for blocks of the object store that consumers at the end of partitions read, and a quarter for what is read ahead of consumers that are far behind; the two quarters are 8 MiB each at least. With peer.secret or certificates, brokers of a zone share their blocks, and a quarter of their memory is for copies of blocks that belong to another broker. Answers that clients are slow to read come on top, of about 128 MiB together.",
		set: func(c *Config, v value) { c.Memory.Cache = v.number }},
	{Name: "compaction.enable", Kind: boolean, Default: "true",
		Doc: "Whether small objects are rewritten as large ones, sorted by partition. Without it a consumer that is far behind costs a GET for each small object, and what brokers hold in memory grows with the number of objects. Compacted topics go by `log.cleaner.enable`. The broker that has the task's lease goes by its own configuration: give all the same.",
		set: func(c *Config, v value) { c.Compaction.Enabled = v.text == "true" }},
	{Name: "compaction.delay", Kind: durationFrom(time.Second), Default: "2m",
		Doc: "How old a segment is at least when it is rewritten: by then, who reads the end of partitions has read it from memory. What is little waits for more, up to five times as long.",
		set: func(c *Config, v value) { c.Compaction.Delay = v.duration }},
	{Name: "compaction.memory", Kind: size{6 << 20, 1 << 40}, Default: "192MiB",
		Doc: "Bytes that the broker which rewrites small objects has for it, and as many the one that compacts topics, which may be the same, beside the keys that it remembers (`log.cleaner.dedupe.buffer.size`). A third is for reading ahead, the rest for objects that are made, of 64 MiB at most; less memory makes smaller ones, and more GETs.",
		set: func(c *Config, v value) { c.Compaction.Memory = v.number }},
	{Name: "garbage.grace", Kind: durationFrom(time.Minute), Default: "1h",
		Doc: "How long an object stays after the last that named it went (by retention, compaction, DeleteRecords or the deletion of a topic). A metastore that is restored to a point in time names objects that were garbage since: it can go back by as much as the grace, such as `24h`. That costs the storage of what was replaced or deleted in that time, and for each such object about 120 bytes of memory in each broker and 35 of a snapshot. docs/bucket.md tells of a way to go back further that costs storage alone.",
		set: func(c *Config, v value) { c.Garbage.Grace = v.duration }},
	{Name: "garbage.sweep", Kind: duration, Default: "24h",
		Doc: "In what time the whole bucket is looked through once for objects that nothing ever named: uploads whose broker died before it committed them. It costs a LIST for each 1,000 objects. 0: never.",
		set: func(c *Config, v value) { c.Garbage.Sweep = v.duration }},
	{Name: "garbage.dry_run", Kind: boolean, Default: "false",
		Doc: "Whether objects that would be deleted are only logged. They stay, and so do their names in the memory of all brokers.",
		set: func(c *Config, v value) { c.Garbage.DryRun = v.text == "true" }},
	{Name: "index.interval", Kind: duration, Default: "10m",
		Doc: "How often what the metastore knows is copied to the bucket, if it has changed, so that a lost one can be made anew (`runnel rebuild`): topics, offsets, transactions and groups are as of the last copy then, and records as tier-1 objects have them. A copy has the size of a snapshot, some 10 bytes for each run; three are kept. 0: never.",
		set: func(c *Config, v value) { c.Index.Interval = v.duration }},
	{Name: "log.level", Kind: words{"debug", "info", "warn", "error"}, Default: "info",
		Doc: "The least severe messages that are logged.",
		set: func(c *Config, v value) { c.Log.Level = v.text }},
	{Name: "log.format", Kind: words{"text", "json"}, Default: "text",
		Doc: "Form of the log on standard error.",
		set: func(c *Config, v value) { c.Log.Format = v.text }},
	{Name: "drain.timeout", Kind: duration, Default: "30s",
		Doc: "Longest time that a stopping broker takes to send clients to the other brokers and to answer what is in flight.",
		set: func(c *Config, v value) { c.Drain.Timeout = v.duration }},
}
