package broker

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/broker/settings"
	"github.com/runnel-io/runnel/broker/wire"
)

// The levels of a broker's log, as DescribeConfigs and IncrementalAlterConfigs have them under resource type 8 (KIP-412).
// There is one logger, root. As in Kafka, a level lasts until the broker stops.

const rootLogger = "root"

// logLevels are Kafka's, from the least important up. Nothing is logged at the first or the last.
var logLevels = []struct {
	name  string
	level slog.Level
}{
	{"TRACE", slog.LevelDebug - 4}, {"DEBUG", slog.LevelDebug}, {"INFO", slog.LevelInfo}, {"WARN", slog.LevelWarn},
	{"ERROR", slog.LevelError}, {"FATAL", slog.LevelError + 4},
}

func (b *Broker) describeLoggers(broker string) ([]settings.Entry, error) {
	if err := b.checkLoggers(broker); err != nil {
		return nil, err
	}
	name := levelName(b.LogLevel.Level())
	return []settings.Entry{{Name: rootLogger, Value: &name, Source: settings.FromLogger}}, nil
}

// levelName is the name of the highest level that is not above one.
func levelName(level slog.Level) string {
	name := logLevels[0].name
	for _, l := range logLevels {
		if l.level <= level {
			name = l.name
		}
	}
	return name
}

func (b *Broker) checkLoggers(broker string) error {
	if err := b.checkSelf(broker); err != nil {
		return err
	}
	if b.LogLevel == nil {
		return refuse(kerr.InvalidRequest, "the log of this broker has a fixed level")
	}
	return nil
}

func (b *Broker) alterLoggers(c *wire.Conn, broker string, changes []kmsg.IncrementalAlterConfigsRequestResourceConfig, validateOnly bool) error {
	if err := b.checkLoggers(broker); err != nil {
		return err
	}
	level := b.LogLevel.Level()
	for _, change := range changes {
		switch {
		case change.Op == kmsg.IncrementalAlterConfigOpAppend || change.Op == kmsg.IncrementalAlterConfigOpSubtract:
			return refuse(kerr.InvalidRequest, "the level of a logger is no list")
		case change.Name != rootLogger:
			return refuse(kerr.InvalidConfig, fmt.Sprintf("there is no logger %q, only %s", change.Name, rootLogger))
		case change.Op == kmsg.IncrementalAlterConfigOpDelete:
			return refuse(kerr.InvalidRequest, "the level of the logger root cannot be removed")
		}
		at := slices.IndexFunc(logLevels, func(l struct {
			name  string
			level slog.Level
		}) bool {
			return l.name == *change.Value
		})
		if at < 0 {
			return refuse(kerr.InvalidConfig, fmt.Sprintf("%q is no log level: there are %s", *change.Value, levelNames()))
		}
		level = logLevels[at].level
	}
	if was := b.LogLevel.Level(); !validateOnly && level != was {
		b.LogLevel.Set(min(level, was)) // of the two, the one that shows more
		b.Logger.Warn("log level changes", "from", was, "to", level)
		b.LogLevel.Set(level)
		b.changed(c, "IncrementalAlterConfigs", "BrokerLogger:"+broker, map[string]string{rootLogger: levelName(was)}, map[string]string{rootLogger: levelName(level)})
	}
	return nil
}

func levelNames() string {
	names := make([]string, len(logLevels))
	for i, l := range logLevels {
		names[i] = l.name
	}
	return strings.Join(names, ", ")
}
