import java.time.Duration;
import java.util.List;
import java.util.Properties;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.KTable;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.TimeWindows;

/**
 * Kafka Streams with exactly_once_v2, until it is killed: Stream words|join BOOTSTRAP NAME STATE_DIR.
 *
 * <pre>
 * words  NAME-in of lines           -> NAME-out of (word, how often it was there up to now)
 * join   NAME-clicks of (user, page)
 *        and the table NAME-users   -> NAME-joined of (user, page + " " + region), each once, and
 *        of (user, region)             NAME-counts of (region + "@" + window, how often up to now)
 * </pre>
 *
 * Nothing is cached, so that every input leaves its own record in the output.
 */
public final class Stream {
    static final Duration WINDOW = Duration.ofSeconds(10);

    private Stream() {}

    public static void main(String[] args) {
        String name = args[2];
        Properties config = new Properties();
        config.put(StreamsConfig.APPLICATION_ID_CONFIG, name);
        config.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, args[1]);
        config.put(StreamsConfig.STATE_DIR_CONFIG, args[3]);
        config.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
        config.put(StreamsConfig.DEFAULT_KEY_SERDE_CLASS_CONFIG, Serdes.String().getClass());
        config.put(StreamsConfig.DEFAULT_VALUE_SERDE_CLASS_CONFIG, Serdes.String().getClass());
        config.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, "0");
        config.put(StreamsConfig.REPARTITION_PURGE_INTERVAL_MS_CONFIG, "1000");
        config.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, "200");
        // How long the next life waits for what a killed one held: its partitions and its transaction.
        config.put(StreamsConfig.consumerPrefix("session.timeout.ms"), "6000");
        config.put(StreamsConfig.producerPrefix("transaction.timeout.ms"), "5000");

        StreamsBuilder builder = new StreamsBuilder();
        if (args[0].equals("words")) {
            words(builder, name);
        } else {
            join(builder, name);
        }
        KafkaStreams streams = new KafkaStreams(builder.build(), config);
        streams.setUncaughtExceptionHandler(e -> {
            e.printStackTrace();
            Runtime.getRuntime().halt(1);
            return null;
        });
        streams.start();
    }

    private static void words(StreamsBuilder builder, String name) {
        builder.<String, String>stream(name + "-in")
                .flatMapValues(line -> List.of(line.split(" ")))
                .groupBy((key, word) -> word)
                .count(Materialized.with(Serdes.String(), Serdes.Long()))
                .toStream()
                .mapValues(String::valueOf)
                .to(name + "-out");
    }

    private static void join(StreamsBuilder builder, String name) {
        KTable<String, String> users = builder.table(name + "-users");
        KStream<String, String> joined = builder.<String, String>stream(name + "-clicks")
                .join(users, (page, region) -> page + " " + region);
        joined.to(name + "-joined");
        joined.map((user, click) -> KeyValue.pair(click.substring(click.indexOf(' ') + 1), click))
                .groupByKey(Grouped.with(Serdes.String(), Serdes.String()))
                .windowedBy(TimeWindows.ofSizeAndGrace(WINDOW, Duration.ofDays(1)))
                .count(Materialized.with(Serdes.String(), Serdes.Long()))
                .toStream()
                .map((region, count) -> KeyValue.pair(region.key() + "@" + region.window().start(), String.valueOf(count)))
                .to(name + "-counts");
    }
}
