package settings

import (
	"fmt"
	"strings"
)

// WriteMarkdown writes the sections of docs/config.md on cluster defaults and topic settings.
func WriteMarkdown(b *strings.Builder) {
	b.WriteString("## Cluster defaults\n\n" +
		"Under `cluster`, by the names of Kafka's broker configs. Every one that is not listed is refused.\n\n" +
		"*dynamic*: clients can change it while brokers run, for all brokers or for one, as in Kafka; the others need a restart.\n" +
		"What is set for one broker wins over what is set for all, and both over the configuration.\n\n")
	tableHead(b)
	for i := range brokerTable {
		tableRow(b, &brokerTable[i], brokerTable[i].Default)
	}
	b.WriteString("\nThese give topic settings their defaults; of several, the first that is set wins. The first of each line is\n" +
		"dynamic, the others are not:\n\n" +
		"| cluster default | topic setting |\n|---|---|\n")
	for _, d := range topicTable {
		if len(d.Cluster) == 0 {
			continue
		}
		names := make([]string, len(d.Cluster))
		for i, alias := range d.Cluster {
			names[i] = "`" + alias.Name + "`"
		}
		fmt.Fprintf(b, "| %s | `%s` |\n", strings.Join(names, ", "), d.Name)
	}
	b.WriteString("\n## Topic settings\n\n" +
		"Given when a topic is created, and altered at any time. *acts*: as in Kafka. *stored*: kept and shown, without effect.\n" +
		"*restricted*: only the values listed are taken. Every name that is not listed is refused.\n\n")
	tableHead(b)
	for i := range topicTable {
		tableRow(b, &topicTable[i], topicTable[i].Default)
	}
	b.WriteString("\n## Group settings\n\n" +
		"Of one group, whether it exists or not. Defaults and bounds are cluster defaults.\n\n" +
		"| name | type | default | least | most | meaning |\n|---|---|---|---|---|---|\n")
	for i := range groupTable {
		s := &groupTable[i]
		fmt.Fprintf(b, "| `%s` | %s | `%s` | `%s` | `%s` | %s |\n", s.Name, s.Type, s.from, s.min, s.max, strings.Replace(s.document(), NoteMark, " ", 1))
	}
	b.WriteString("\n## Client metrics settings\n\n" +
		"Of one subscription to clients' metrics (KIP-714), by a name of your choice.\n\n")
	tableHead(b)
	for i := range metricsTable {
		tableRow(b, &metricsTable[i], metricsTable[i].Default)
	}
}

func tableHead(b *strings.Builder) {
	b.WriteString("| name | type | default | values | Runnel | meaning |\n|---|---|---|---|---|---|\n")
}

func tableRow(b *strings.Builder, d *Definition, value string) {
	values := ""
	if d.Check != nil {
		values = d.Check.String()
	}
	if value != "" {
		value = "`" + value + "`"
	}
	support := d.Support.String()
	if d.Dynamic {
		support += ", dynamic"
	}
	fmt.Fprintf(b, "| `%s` | %s | %s | %s | %s | %s |\n", d.Name, d.Type, value, values, support, strings.Replace(d.document(), NoteMark, " ", 1))
}
