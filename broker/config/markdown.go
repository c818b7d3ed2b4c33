package config

import (
	"fmt"
	"strings"

	"github.com/runnel-io/runnel/broker/settings"
)

//go:generate go run ../../cmd/runnel docs config -o ../../docs/config.md

const markdownHead = `<!-- Made by "runnel docs config". Do not edit. -->
# Configuration

` + "`runnel broker`" + ` reads a YAML file (` + "`--config FILE`" + ` or ` + "`RUNNEL_CONFIG`" + `), environment variables and flags. A flag wins over
the environment, the environment over the file, the file over the default. Unknown keys are refused, and all mistakes
are told at once. ` + "`runnel config check`" + ` tells them without starting a broker; ` + "`runnel config print --effective`" + ` shows
every value and where it comes from, without secrets.

` + "```yaml" + `
version: 1
listen: 0.0.0.0:9092
advertise: broker-1.example.com:9092
metastore:
  url: postgres://runnel:secret@db.example.com/runnel
object_store:
  url: s3://my-bucket/runnel
  region: eu-central-1
cluster:
  num.partitions: 6
  auto.create.topics.enable: false
` + "```" + `

A broker with more than one listener names them, in place of listen and advertise; the first is where clients are sent by brokers of
versions that know one alone:

` + "```yaml" + `
listeners:
  internal: {listen: "10.0.0.4:9092", protocol: PLAINTEXT}
  public: {listen: "0.0.0.0:9093", protocol: SASL_SSL, advertise: "broker-1.example.com:9093"}
tls: {certificate: /etc/runnel/tls.crt, key: /etc/runnel/tls.key}
metastore:
  url: postgres://runnel@db.example.com/runnel
  password_file: /run/secrets/metastore
` + "```" + `

Sizes are written as ` + "`8MiB`" + `, times as ` + "`250ms`" + `. A dot in a key's name is a level of the file.

## Keys

| key | environment | flag | type | default | meaning |
|---|---|---|---|---|---|
`

// Markdown is docs/config.md.
func Markdown() string {
	var b strings.Builder
	b.WriteString(markdownHead)
	for _, k := range keys {
		value := ""
		if k.Default != "" {
			value = "`" + k.Default + "`"
		}
		fmt.Fprintf(&b, "| `%s` | `%s` | `--%s` | %s | %s | %s |\n", k.Name, k.Env(), k.Flag(), k.Kind, value, k.Doc)
	}
	for _, k := range listenerKeys {
		fmt.Fprintf(&b, "| `%s.NAME.%s` | `%s` | `--%s NAME.%s=VALUE` | %s | | %s |\n",
			listenersKey, k.Name, k.Env("name"), ListenerFlag, k.Name, k.Kind, k.Doc)
	}
	fmt.Fprintf(&b, "| `%s.NAME` | `%s` | `--%s NAME=VALUE` | | | A cluster default by its Kafka name; in variables `num.partitions` is `%s`. |\n\n",
		clusterKey, ClusterEnv("name"), ClusterFlag, ClusterEnv("num.partitions"))
	settings.WriteMarkdown(&b)
	return b.String()
}
