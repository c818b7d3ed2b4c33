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
	mapped := false // clients are told of a port that nobody here listens on
	for i, n := range nodes {
		at := reachable(n.Addr())
		if told := o.told(i); told != "" {
			mapped = mapped || portOf(told) != portOf(at)
			at = told
		}
		kafka = append(kafka, at)
	}
	admin := "none"
	if addr := nodes[0].AdminAddr(); addr != nil {
		admin = "http://" + reachable(addr) + "/readyz and /metrics"
	}
	data := "in memory: nothing survives this process; --data DIR keeps it"
	if o.data != "" {
		data = "in " + o.data
	}
	program := cmp.Or(os.Args[0], "runnel")
	if _, err := os.Stat("/.dockerenv"); err == nil && os.Getpid() == 1 {
		program = "" // clients in this container reach no port of the host
		if host, err := os.Hostname(); err == nil && !mapped {
			program = "docker exec -i " + host + " runnel"
		}
	}
	_, err := fmt.Fprint(env.out, welcome(program, kafka, admin, data))
	return err
}

// told is the address that clients of a broker are told in place of where it listens, as from a container; "": none.
func (o *devOptions) told(i int) string {
	if i < len(o.advertised) {
		return o.advertised[i]
	}
	if o.given("advertise") {
		if at, err := following(*o.keys["advertise"], i); err == nil { // else it is found out: auto
			return at
		}
	}
	return ""
}

func portOf(address string) string {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return ""
	}
	return port
}

// welcome says how to use the brokers, in commands that can be copied, those of program too unless it is "".
func welcome(program string, kafka []string, admin, data string) string {
	own := ""
	if program != "" {
		at := ""
		if kafka[0] != defaultBootstrap {
			at = " -b " + kafka[0]
		}
		own = fmt.Sprintf("  echo hello | %[1]s produce greetings%[2]s\n  %[1]s consume greetings --exit%[2]s\n\n", program, at)
	}
	text := `Runnel is ready.

  Kafka clients  %[2]s
  Admin          %[3]s
  Data           %[4]s

Try it:

%[5]s  echo hello | kcat -b %[1]s -t greetings -P
  kcat -b %[1]s -t greetings -C -o beginning -e

  echo hello | kafka-console-producer.sh --bootstrap-server %[1]s --topic greetings
  kafka-console-consumer.sh --bootstrap-server %[1]s --topic greetings --from-beginning

Ctrl-C stops it.
`
	return fmt.Sprintf(text, kafka[0], strings.Join(kafka, ", "), admin, data, own)
}
