package settings

import (
	"fmt"
	"strings"
)

// WriteMarkdown writes the sections of docs/config.md on cluster defaults and topic settings.
func WriteMarkdown(b *strings.Builder) {
	b.WriteString("## Cluster defaults\n\n" +
		"Under `cluster`, by the names of Kafka's broker configs. Every one that is not listed is refused.\n\n")
	tableHead(b)
	for i := range brokerTable {
		tableRow(b, &brokerTable[i], brokerTable[i].Default)
	}
	b.WriteString("\nThese give topic settings their defaults; of several, the first that is set wins:\n\n" +
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
		"Given when a topic is created. *acts*: as in Kafka. *stored*: kept and shown, without effect.\n" +
		"*restricted*: only the values listed are taken. Every name that is not listed is refused.\n\n")
	tableHead(b)
	for i := range topicTable {
		tableRow(b, &topicTable[i], topicTable[i].Default)
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
	fmt.Fprintf(b, "| `%s` | %s | %s | %s | %s | %s |\n", d.Name, d.Type, value, values, d.Support, d.document())
}
