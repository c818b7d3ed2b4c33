package compat

import (
	"context"
	"io"
)

// Main classes of Kafka's command line tools.
const (
	consoleProducer = "org.apache.kafka.tools.ConsoleProducer"
	consoleConsumer = "org.apache.kafka.tools.consumer.ConsoleConsumer"
	topicCommand    = "org.apache.kafka.tools.TopicCommand"
	groupCommand    = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"
	configCommand   = "kafka.admin.ConfigCommand"
	metricsCommand  = "org.apache.kafka.tools.ClientMetricsCommand"
	getOffsets      = "org.apache.kafka.tools.GetOffsetShell"
	logDirsCommand  = "org.apache.kafka.tools.LogDirsCommand"
	performance     = "org.apache.kafka.tools.ProducerPerformance"
)

// javaTools runs Java classes from the jars that clients/java pins.
type javaTools struct{ classPath string }

// command is how a class runs. The flags make short programs start fast; logs go to standard error.
func (j javaTools) command(class string, args ...string) []string {
	return append([]string{
		"java", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
		"-cp", j.classPath, class,
	}, args...)
}

func (j javaTools) run(ctx context.Context, in io.Reader, class string, args ...string) ([]byte, error) {
	return runCommand(ctx, nil, in, j.command(class, args...)...)
}
