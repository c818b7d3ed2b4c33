import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Collection;
import java.util.List;
import java.util.Properties;
import java.util.stream.Collectors;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.SubscriptionPattern;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/**
 * A member of a consumer group that tells what happens to it:
 *
 * <pre>
 * Member BOOTSTRAP GROUP SUBSCRIPTION [KEY=VALUE...]
 * </pre>
 *
 * The subscription is a topic, or a regular expression after a tilde. Keys are settings of the consumer. It commits what it
 * reads, and leaves the group when its input ends. Lines of output:
 *
 * <pre>
 * + TOPIC-PARTITION...   assigned beside what it has, - revoked, ! lost
 * r TOPIC-PARTITION OFFSET   read and committed
 * </pre>
 */
public final class Member {
    private static volatile boolean over;

    private Member() {}

    public static void main(String[] args) throws Exception {
        Properties config = new Properties();
        config.put("bootstrap.servers", args[0]);
        config.put("group.id", args[1]);
        config.put("auto.offset.reset", "earliest");
        config.put("enable.auto.commit", "false");
        config.put("metadata.max.age.ms", "1000");
        for (int i = 3; i < args.length; i++) {
            String[] setting = args[i].split("=", 2);
            config.put(setting[0], setting[1]);
        }
        Thread input = new Thread(Member::waitForEnd);
        input.setDaemon(true);
        input.start();
        PrintStream out = new PrintStream(System.out, true, StandardCharsets.UTF_8);
        try (KafkaConsumer<byte[], byte[]> consumer =
                new KafkaConsumer<>(config, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            ConsumerRebalanceListener listener = new Teller(out);
            if (args[2].startsWith("~")) {
                consumer.subscribe(new SubscriptionPattern(args[2].substring(1)), listener);
            } else {
                consumer.subscribe(List.of(args[2]), listener);
            }
            while (!over) {
                ConsumerRecords<byte[], byte[]> records = consumer.poll(Duration.ofMillis(100));
                if (records.isEmpty()) continue;
                try {
                    consumer.commitSync();
                } catch (org.apache.kafka.common.errors.RebalanceInProgressException
                        | org.apache.kafka.clients.consumer.CommitFailedException e) {
                    continue; // they are read again
                }
                for (ConsumerRecord<byte[], byte[]> r : records) {
                    out.println("r " + r.topic() + "-" + r.partition() + " " + r.offset());
                }
            }
        }
    }

    private static void waitForEnd() {
        try (BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8))) {
            while (in.readLine() != null) {}
        } catch (java.io.IOException e) {
            // The same as the end.
        }
        over = true;
    }

    private record Teller(PrintStream out) implements ConsumerRebalanceListener {
        @Override
        public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
            tell("+", partitions);
        }

        @Override
        public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
            tell("-", partitions);
        }

        @Override
        public void onPartitionsLost(Collection<TopicPartition> partitions) {
            tell("!", partitions);
        }

        private void tell(String what, Collection<TopicPartition> partitions) {
            out.println(what + " " + partitions.stream().map(TopicPartition::toString).collect(Collectors.joining(" ")));
        }
    }
}
