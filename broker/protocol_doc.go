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
not listed is not advertised: transactions, ACLs, quotas, share groups, the consumer protocol of KIP-848, telemetry.

- A request of a key or version that is not served closes the connection, as in Kafka; ApiVersions is answered with
  UNSUPPORTED_VERSION and the versions to try (KIP-511).
- Requests of a connection are answered in their order. Produce requests overlap; everything else takes effect one at a
  time.
- Requests above socket.request.max.bytes close the connection, and so do requests other than Produce above 16 MiB.
- Bytes that a request has left over close the connection; Kafka ignores them.
- No authorizer exists yet: everything is allowed. The column "needs" is what Kafka would check.
- The leader epoch of every partition is 0 for ever. Replica lists are as long as the replication factor asked for, all
  in sync; broker ids repeat in them when there are fewer brokers.

| key | API | versions | needs | different from Kafka |
|---:|---|---|---|---|
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
		fmt.Fprintf(&doc, "| %d | %s | %d-%d | %s | %s |\n", a.key, a.name, a.min-a.claimed, a.max, a.needs, notes)
	}
	return doc.String()
}
