package main

import (
	"cmp"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"

	"github.com/runnel-io/runnel/broker/node"
)

// reachable is an address as a client on this machine writes it.
func reachable(addr net.Addr) string {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok {
		return addr.String()
	}
	if tcp.IP.IsUnspecified() {
		return net.JoinHostPort("127.0.0.1", strconv.Itoa(tcp.Port))
	}
	return tcp.String()
}

func printWelcome(env *environment, o *devOptions, nodes []*node.Node) error {
	var kafka []string
	for i, n := range nodes {
		if i < len(o.advertised) {
			kafka = append(kafka, o.advertised[i])
			continue
		}
		kafka = append(kafka, reachable(n.Addr()))
	}
	admin := "none"
	if addr := nodes[0].AdminAddr(); addr != nil {
		admin = "http://" + reachable(addr) + "/readyz and /metrics"
	}
	data := "in memory: nothing survives this process; --data DIR keeps it"
	if o.data != "" {
		data = "in " + o.data
	}
	_, err := fmt.Fprint(env.out, welcome(cmp.Or(os.Args[0], "runnel"), kafka, admin, data))
	return err
}

// welcome says how to use the brokers, in commands that can be copied.
func welcome(program string, kafka []string, admin, data string) string {
	at := ""
	if kafka[0] != defaultBootstrap {
		at = " -b " + kafka[0]
	}
	text := `Runnel is ready.

  Kafka clients  %[2]s
  Admin          %[3]s
  Data           %[4]s

Try it:

  echo hello | %[5]s produce greetings%[6]s
  %[5]s consume greetings --exit%[6]s

  echo hello | kcat -b %[1]s -t greetings -P
  kcat -b %[1]s -t greetings -C -o beginning -e

  echo hello | kafka-console-producer.sh --bootstrap-server %[1]s --topic greetings
  kafka-console-consumer.sh --bootstrap-server %[1]s --topic greetings --from-beginning

Ctrl-C stops it.
`
	return fmt.Sprintf(text, kafka[0], strings.Join(kafka, ", "), admin, data, program, at)
}
