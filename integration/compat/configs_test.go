package compat

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/runnel-io/runnel/integration/harness"
)

// TestKafkaConfigsChangesSettings walks through what an operator changes with kafka-configs.sh and
// kafka-client-metrics.sh: settings of a topic, of all brokers, of one, of its log, of a group and of metrics.
func TestKafkaConfigsChangesSettings(t *testing.T) {
	c := clients(t)
	onTargets(t, func(t *testing.T, bootstrap string) {
		brokers, err := admin(t, bootstrap).ListBrokers(harness.Soon(t))
		if err != nil {
			t.Fatal(err)
		}
		self := fmt.Sprint(brokers[0].NodeID)
		createTopic(t, bootstrap, "orders", 1)
		run := func(class string, args ...string) (string, error) {
			out, err := c.java.run(within(t, toolTimeout), nil, class, append([]string{"--bootstrap-server", bootstrap}, args...)...)
			return string(out), err
		}
		alter := func(entity []string, args ...string) {
			t.Helper()
			if out, err := run(configCommand, append(append([]string{"--alter"}, entity...), args...)...); err != nil {
				t.Fatalf("%v: %v\n%s", args, err, out)
			}
		}
		// shows looks for a setting and where it comes from; tools tell the synonyms, the one in force first.
		shows := func(entity []string, want string) {
			t.Helper()
			pattern := regexp.MustCompile(`(?m)^\s*` + want)
			eventually(t, want, func() bool {
				out, err := run(configCommand, append([]string{"--describe", "--all"}, entity...)...)
				if err != nil {
					t.Fatal(err)
				}
				return pattern.MatchString(out)
			})
		}
		topic := []string{"--entity-type", "topics", "--entity-name", "orders"}
		all := []string{"--entity-type", "brokers", "--entity-default"}
		one := []string{"--entity-type", "brokers", "--entity-name", self}
		alter(topic, "--add-config", "retention.ms=3600000,cleanup.policy=[compact,delete]")
		shows(topic, `cleanup\.policy=compact,delete sensitive=false synonyms=\{DYNAMIC_TOPIC_CONFIG:cleanup\.policy=compact,delete, DEFAULT_CONFIG:`)
		alter(topic, "--delete-config", "retention.ms")
		alter(all, "--add-config", "log.retention.ms=7200000,max.connections=100000")
		shows(topic, `retention\.ms=7200000 sensitive=false synonyms=\{DYNAMIC_DEFAULT_BROKER_CONFIG:log\.retention\.ms=7200000`)
		alter(one, "--add-config", "log.retention.ms=7300000")
		shows(one, `log\.retention\.ms=7300000 sensitive=false synonyms=\{DYNAMIC_BROKER_CONFIG:log\.retention\.ms=7300000, DYNAMIC_DEFAULT_BROKER_CONFIG:log\.retention\.ms=7200000`)
		if out, err := run(configCommand, append([]string{"--alter", "--add-config", "num.partitions=7"}, all...)...); err == nil {
			t.Errorf("num.partitions is changed while brokers run: %s", out)
		} else if !strings.Contains(err.Error(), "Cannot update these configs dynamically: [num.partitions]") {
			t.Errorf("the tool's error: %v", err)
		}
		alter(one, "--delete-config", "log.retention.ms")
		alter(all, "--delete-config", "log.retention.ms,max.connections")
		shows(topic, `retention\.ms=604800000 sensitive=false synonyms=\{\}`)

		logger := []string{"--entity-type", "broker-loggers", "--entity-name", self}
		alter(logger, "--add-config", "root=ERROR")
		shows(logger, `root=ERROR`)
		group := []string{"--entity-type", "groups", "--entity-name", "billing"}
		alter(group, "--add-config", "consumer.session.timeout.ms=50000")
		shows(group, `consumer\.session\.timeout\.ms=50000 sensitive=false`)
		subscription := []string{"--entity-type", "client-metrics", "--entity-name", "clients"}
		alter(subscription, "--add-config", "interval.ms=30000")
		shows(subscription, `interval\.ms=30000 sensitive=false`)
		out, err := run(metricsCommand, "--list")
		if err != nil {
			t.Fatal(err)
		}
		contains(t, out, "clients")
		if out, err = run(metricsCommand, "--delete", "--name", "clients"); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		eventually(t, "the subscription is gone", func() bool {
			out, err := run(metricsCommand, "--list")
			if err != nil {
				t.Fatal(err)
			}
			return !strings.Contains(out, "clients")
		})
	})
}
