package servers

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// Kafka is an Apache Kafka broker, one node that is its own controller: the reference for how a broker behaves.
type Kafka struct {
	Bootstrap string
	Login     string // where the users log in, if there are any

	scratch
	log  *Log
	proc *Process
}

const kafkaConfig = `process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:%[2]d
listeners=PLAINTEXT://127.0.0.1:%[1]d,CONTROLLER://127.0.0.1:%[2]d
advertised.listeners=PLAINTEXT://%[4]s
controller.listener.names=CONTROLLER
log.dirs=%[3]s
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
transaction.abort.timed.out.transaction.cleanup.interval.ms=1000
group.initial.rebalance.delay.ms=0
num.partitions=3
`

// KafkaOptions are what may differ from one Kafka to another.
type KafkaOptions struct {
	Advertised string            // host:port that clients are told to connect to; the broker's own if empty
	Set        map[string]string // further settings of the broker
	Users      map[string]string // passwords of those who log in by PLAIN, at a listener of its own, without TLS
}

// loginSettings are those of a second listener.
func loginSettings(k *Kafka, controller int, advertised string, users map[string]string) string {
	var text strings.Builder
	fmt.Fprintf(&text, "listeners=PLAINTEXT://%s,LOGIN://%s,CONTROLLER://127.0.0.1:%d\n", k.Bootstrap, k.Login, controller)
	fmt.Fprintf(&text, "advertised.listeners=PLAINTEXT://%s,LOGIN://%s\n", advertised, k.Login)
	text.WriteString("listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,LOGIN:SASL_PLAINTEXT\n" +
		"listener.name.login.sasl.enabled.mechanisms=PLAIN\n" +
		"listener.name.login.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required")
	for user, password := range users {
		fmt.Fprintf(&text, " user_%s=%q", user, password)
	}
	text.WriteString(";\n")
	return text.String()
}

// OpenKafka starts a broker from a class path that holds Kafka's core, in a new temporary directory.
func OpenKafka(ctx context.Context, classPath string, o KafkaOptions) (_ *Kafka, err error) {
	var ports [3]int
	for i := range ports {
		if ports[i], err = FreePort(); err != nil {
			return nil, err
		}
	}
	log, _ := NewLog("")
	k := &Kafka{Bootstrap: fmt.Sprintf("127.0.0.1:%d", ports[0]), log: log}
	if k.scratch, err = newScratch("kafka"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = k.remove() // the error that led here is told
		}
	}()
	config := filepath.Join(k.dir, "server.properties")
	text := fmt.Sprintf(kafkaConfig, ports[0], ports[1], filepath.Join(k.dir, "data"), cmp.Or(o.Advertised, k.Bootstrap))
	if len(o.Users) > 0 {
		k.Login = fmt.Sprintf("127.0.0.1:%d", ports[2])
		text += loginSettings(k, ports[1], cmp.Or(o.Advertised, k.Bootstrap), o.Users)
	}
	for name, value := range o.Set {
		text += name + "=" + value + "\n"
	}
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		return nil, fmt.Errorf("write Kafka's configuration: %w", err)
	}

	java := []string{"-Xmx1g", "-XX:-UsePerfData", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", classPath}
	id := make([]byte, 16)
	rand.Read(id)
	format := exec.CommandContext(ctx, "java", append(java, "kafka.tools.StorageTool", "format",
		"--config", config, "--cluster-id", strings.ReplaceAll(base64.RawURLEncoding.EncodeToString(id), "-", "x"))...)
	if out, err := format.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("format Kafka's storage: %w\n%s", err, out)
	}
	if k.proc, err = Start("kafka", exec.Command("java", append(java, "kafka.Kafka", config)...), syscall.SIGKILL, log); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	err = k.proc.ready(ctx, func(ctx context.Context) error {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", k.Bootstrap)
		if err != nil {
			return err
		}
		return conn.Close()
	})
	if err != nil {
		k.proc.Stop(syscall.SIGKILL, stopGrace)
	}
	return k, err
}

// Close ends the broker, which has nothing to put in order, and removes its data.
func (k *Kafka) Close() error {
	err := k.proc.Stop(syscall.SIGKILL, stopGrace)
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL {
		err = nil
	}
	return errors.Join(err, k.remove())
}
