package broker

import (
	"fmt"
	"strings"

	"github.com/runnel-io/runnel/broker/wire"
)

//go:generate go test -run TestProtocolDocIsCurrent -update

const protocolDocHead = `# The Kafka protocol, as Runnel serves it

Generated from the protocol table in broker/protocol.go: edit that and run ` + "`go generate ./broker`" + `.

The versions are those in ApiVersions. Produce is listed from version 0 although 0 to 2 are refused, as Kafka does
(KAFKA-18659: older librdkafka takes a higher minimum to mean that the broker knows no compression). Everything that is
not listed is not advertised; [below](#not-served) is why.

- A request of a key or version that is not served closes the connection, as in Kafka; ApiVersions is answered with
  UNSUPPORTED_VERSION and the versions to try (KIP-511).
- Requests of a connection are answered in their order. Produce requests overlap; everything else takes effect one at a
  time.
- Requests above socket.request.max.bytes close the connection, and so do requests other than Produce above 16 MiB.
- Bytes that a request has left over close the connection; Kafka ignores them.
- What clients may is asked as Kafka asks it. The column "needs" has the operations and the error that who may not gets, of
  the part of the request that it is about; "left out" means that the answer is without it. Answers do not tell whether what
  may not be seen exists, except that topic ids are no secret, as in Kafka: an id that is not known is UNKNOWN_TOPIC_ID.
- A broker that stops while others live refuses Produce, Fetch, ListOffsets and OffsetForLeaderEpoch with
  NOT_LEADER_OR_FOLLOWER for a moment before it closes connections. The answers never name the new leader (KIP-951): at a
  leader epoch that does not grow, clients ignore that or, worse, stop looking. Until then it is listed and leads nothing.
- The leader epoch of every partition is 0 for ever. Replica lists are as long as the replication factor asked for, all
  in sync; broker ids repeat in them when there are fewer brokers.

| key | API | versions | needs | different from Kafka |
|---:|---|---|---|---|
`

const protocolDocUnserved = `
## Not served

| key | API | why not |
|---:|---|---|
`

const protocolDocZones = `
## Zones

Every broker serves every partition, so clients are told to ask those of their own availability zone (the key zone of a
broker's configuration, which Metadata shows as its rack). A client's zone is what says it first of:

1. client.rack, in Fetch from version 11 on. Other requests do not carry it.
2. A tag in client.id: zone=NAME, between or behind commas, semicolons, ampersands or spaces, as in
   "billing-7,zone=eu-central-1a". The tags zone (of Bufstream's clients, too), warpstream_az and ws_az (WarpStream), automq_az
   (AutoMQ; its value is escaped as in a URL), diskless_az and inkless_az (Inkless) mean the same. The first one counts. Names
   of zones are up to 255 printable ASCII characters, and the first 1,024 bytes of a client id are looked at.
3. The map of subnets, client.subnets.
4. client.zone of the broker that is asked.

Metadata and DescribeTopicPartitions name as leader a live broker of that zone, the same from every broker. If the zone is
unknown or has no live broker, it is one of all live brokers. Further replicas are brokers of further zones, so that assignors
which look at racks (KIP-881) find each partition in as many zones as the replication factor allows.

A consumer with client.rack that asks a broker of another zone gets no records but the broker of its zone as preferred read
replica (KIP-392), if that is in the replica list of every client: with as many replicas as zones it always is, with one
replica never. Otherwise the broker that is asked serves: the Java client ignores a preferred replica that is not in the list,
and would ask for ever. A tag in client.id needs no replicas, and works for producers.

A consumer that was sent to a broker which then dies goes back by its own rules: Java tries it until the broker's lease has run
out, 6 s; franz-go asks again after RecheckPreferredReplicaInterval, half an hour by default, so set it to a minute or so. With a
tag there is nothing to go back from. Java consumers of a group rebalance when the racks of their partitions change: when a
zone gets its first broker or loses its last one, and with fewer replicas than zones also when others come and go.

DescribeLogDirs goes by the tag and the subnets alone, on which all brokers agree.

## Metrics of clients

Clients that speak KIP-714 (Java from 3.7, librdkafka from 2.5) ask the broker which of their metrics to push. What they are
asked for are CLIENT_METRICS resources, as kafka-client-metrics.sh makes them; without any they push nothing. What they push is
shown at /metrics of the broker that they push to: org.apache.kafka.producer.record.queue.time.avg is
kafka_client_producer_record_queue_time_avg, and sums that only grow are counters, whose names end in _total. Labels are
client_instance_id, client_id, client_software_name, client_software_version and what the client says of itself and of the
metric, such as client_rack or topic. Values are those of single clients: averages of many clients could not be added up.

The series of a client end when it has not told them for three intervals, a minute at least. A broker remembers 16,384 clients and
keeps 500 series of each, 20,000 of all, of 1,000 metrics; a push may have telemetry.max.bytes, and eight
times that when it is decompressed. What is left out counts in runnel_telemetry_dropped_total. So ask for what is looked at, by prefixes, and of the clients that matter.

## What a broker says of itself

Brokers answer DescribeConfigs for themselves with further read-only values, if they are asked for by name; they are not
among all settings, for they change by the second. ` + "`runnel cluster describe`" + ` reads them.

| name | value |
|---|---|
| runnel.version | version of the software |
| runnel.broker.epoch | epoch of the broker's registration, which grows with every start |
| runnel.lease.remaining.ms | how long its registration is still certainly valid |
| runnel.roles | what it does on behalf of all, with the epoch of the lease, such as sequencer:7; separated by commas |
`

// ProtocolDoc is docs/protocol.md.
func ProtocolDoc() string {
	var doc strings.Builder
	doc.WriteString(protocolDocHead)
	for _, a := range new(Broker).apis() {
		notes := a.notes
		if a.order == wire.Overlapping {
			notes = strings.TrimSpace("Pipelined. " + notes)
		}
		fmt.Fprintf(&doc, "| %d | %s | %d-%d | %s | %s |\n", a.key, a.name, a.min-a.claimed, a.max, describeNeeds(a.needs), notes)
	}
	doc.WriteString(protocolDocUnserved)
	for _, u := range unservedKeys {
		fmt.Fprintf(&doc, "| %d | %s | %s |\n", u.key, u.name, u.why)
	}
	doc.WriteString(protocolDocZones)
	return doc.String()
}
