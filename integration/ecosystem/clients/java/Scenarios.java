import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Properties;
import java.util.TreeMap;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.PartitionInfo;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/** Runs named scenarios side by side and prints a line of JSON for each: its name, and what failed if it did. */
abstract class Scenarios {
    static final Duration PATIENCE = Duration.ofSeconds(60);
    static final String COMMITTED = "read_committed";
    static final String UNCOMMITTED = "read_uncommitted";

    interface Scenario {
        void run() throws Exception;
    }

    final String bootstrap;
    final Admin admin;
    private final Map<String, Scenario> all = new LinkedHashMap<>();

    Scenarios(String bootstrap) {
        this.bootstrap = bootstrap;
        this.admin = Admin.create(Map.of("bootstrap.servers", bootstrap, "default.api.timeout.ms", "60000"));
    }

    final void add(String name, Scenario scenario) {
        all.put(name, scenario);
    }

    /** Scenarios wait more than they compute, so more of them run at once than there are cores. */
    final void runAll() throws Exception {
        ExecutorService pool = Executors.newFixedThreadPool(6);
        Map<String, Future<String>> results = new LinkedHashMap<>();
        all.forEach((name, scenario) -> results.put(name, pool.submit(() -> {
            try {
                scenario.run();
                return null;
            } catch (Throwable e) {
                StringWriter text = new StringWriter();
                e.printStackTrace(new PrintWriter(text));
                return text.toString();
            }
        })));
        ObjectMapper json = new ObjectMapper();
        for (Map.Entry<String, Future<String>> result : results.entrySet()) {
            Map<String, Object> line = new TreeMap<>();
            line.put("scenario", result.getKey());
            line.put("error", result.getValue().get());
            System.out.println(json.writeValueAsString(line));
        }
        pool.shutdown();
        admin.close(Duration.ZERO);
    }

    final String topic(String name, int partitions) throws Exception {
        return topic(name, partitions, Map.of());
    }

    final String topic(String name, int partitions, Map<String, String> configs) throws Exception {
        admin.createTopics(List.of(new NewTopic(name, partitions, (short) 1).configs(configs))).all().get();
        return name;
    }

    final KafkaProducer<String, String> producer(Map<String, ?> more) {
        Properties config = new Properties();
        config.put("bootstrap.servers", bootstrap);
        config.put("max.block.ms", "60000");
        config.put("linger.ms", "0");
        config.putAll(more);
        return new KafkaProducer<>(config, new StringSerializer(), new StringSerializer());
    }

    final KafkaConsumer<String, String> consumer(Map<String, ?> more) {
        Properties config = new Properties();
        config.put("bootstrap.servers", bootstrap);
        config.put("auto.offset.reset", "earliest");
        config.put("enable.auto.commit", "false");
        config.put("fetch.max.wait.ms", "100");
        config.putAll(more);
        return new KafkaConsumer<>(config, new StringDeserializer(), new StringDeserializer());
    }

    static void send(KafkaProducer<String, String> producer, String topic, int partition, String... values) throws Exception {
        for (String value : values) {
            producer.send(new ProducerRecord<>(topic, partition, null, value)).get();
        }
    }

    /** Reads a topic from its beginning to the end that the isolation level shows, and gives the values by partition. */
    final Map<Integer, List<String>> read(String isolation, String topic) {
        try (KafkaConsumer<String, String> consumer = consumer(Map.of("isolation.level", isolation, "max.partition.fetch.bytes", "20000"))) {
            List<TopicPartition> partitions = new ArrayList<>();
            for (PartitionInfo p : consumer.partitionsFor(topic)) {
                partitions.add(new TopicPartition(topic, p.partition()));
            }
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            Map<TopicPartition, Long> ends = consumer.endOffsets(partitions);
            Map<Integer, List<String>> values = new TreeMap<>();
            partitions.forEach(p -> values.put(p.partition(), new ArrayList<>()));
            long deadline = System.nanoTime() + PATIENCE.toNanos();
            // The position passes over control records and what was aborted, else this never ends.
            while (partitions.stream().anyMatch(p -> consumer.position(p) < ends.get(p))) {
                if (System.nanoTime() > deadline) {
                    throw new AssertionError("read " + isolation + " stands still before the ends " + ends + ", got " + values);
                }
                for (ConsumerRecord<String, String> r : consumer.poll(Duration.ofMillis(200))) {
                    values.get(r.partition()).add(r.value());
                }
            }
            return values;
        }
    }

    /**
     * Kafka's answer to the end of a transaction comes before its markers, so what readers see may follow a moment later.
     * What they see until then is the beginning of it, never anything else.
     */
    final void shows(String what, Map<Integer, List<String>> want, String isolation, String topic) throws Exception {
        eventually(what, want, () -> {
            Map<Integer, List<String>> got = read(isolation, topic);
            got.forEach((partition, values) -> same(what + ", partition " + partition + " so far",
                    want.get(partition).stream().limit(values.size()).toList(), values));
            return got;
        });
    }

    final long end(String isolation, String topic, int partition) {
        TopicPartition p = new TopicPartition(topic, partition);
        try (KafkaConsumer<String, String> consumer = consumer(Map.of("isolation.level", isolation))) {
            return consumer.endOffsets(List.of(p)).get(p);
        }
    }

    static void same(String what, Object want, Object got) {
        if (!Objects.equals(want, got)) {
            throw new AssertionError(what + ": want " + want + ", got " + got);
        }
    }

    static void check(boolean ok, String what, Object got) {
        if (!ok) {
            throw new AssertionError(what + ": got " + got);
        }
    }

    static void contains(String what, Collection<?> all, Object... wanted) {
        check(all.containsAll(Arrays.asList(wanted)), what + " contains " + Arrays.toString(wanted), all);
    }

    /** Fails unless the action throws one of the errors, alone or as a cause. */
    @SafeVarargs
    @SuppressWarnings("varargs")
    static Throwable refused(String what, Scenario action, Class<? extends Throwable>... wanted) {
        List<?> kinds = List.of(wanted);
        try {
            action.run();
        } catch (Throwable thrown) {
            for (Throwable e = thrown; e != null; e = e.getCause()) {
                for (Class<? extends Throwable> kind : wanted) {
                    if (kind.isInstance(e)) return e;
                }
            }
            throw new AssertionError(what + ": want " + kinds, thrown);
        }
        throw new AssertionError(what + ": went through, want " + kinds);
    }

    static <T> void eventually(String what, T want, Callable<T> got) throws Exception {
        long deadline = System.nanoTime() + PATIENCE.toNanos();
        for (T now; !Objects.equals(want, now = got.call()); Thread.sleep(100)) {
            if (System.nanoTime() > deadline) {
                throw new AssertionError(what + ": want " + want + ", after " + PATIENCE + " still " + now);
            }
        }
    }
}
