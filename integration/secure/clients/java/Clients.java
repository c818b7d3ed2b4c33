import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.Metric;
import org.apache.kafka.common.MetricName;
import org.apache.kafka.common.Node;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.utils.Exit;

/**
 * The Java clients, for as long as there is input: each line is a request in JSON with an id, each line of output an answer
 * with the same id. Requests run beside each other, but for tools, of which there is one at a time.
 */
public final class Clients {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final PrintStream OUT = new PrintStream(System.out, true, StandardCharsets.UTF_8);
    private static final PrintStream ERR = System.err;

    private Clients() {}

    public static void main(String[] args) throws Exception {
        System.setOut(System.err);
        ExecutorService pool = Executors.newCachedThreadPool();
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line; (line = in.readLine()) != null; ) {
            JsonNode request = JSON.readTree(line);
            pool.execute(() -> answer(request));
        }
        Runtime.getRuntime().halt(0);
    }

    private static void answer(JsonNode request) {
        ObjectNode answer = JSON.createObjectNode().put("id", request.get("id").asLong());
        long start = System.nanoTime();
        try {
            switch (request.get("op").asText()) {
                case "produce" -> produce(request, answer);
                case "consume" -> consume(request, answer);
                case "transact" -> transact(request, answer);
                case "nodes" -> nodes(request, answer);
                case "tool" -> tool(request, answer);
                case "acls" -> Acls.answer(request, config(request), answer);
                default -> throw new IllegalArgumentException(request.get("op").asText());
            }
        } catch (Throwable e) {
            List<String> chain = new ArrayList<>();
            List<String> said = new ArrayList<>();
            for (Throwable t = e; t != null && chain.size() < 10; t = t.getCause()) {
                chain.add(t.getClass().getSimpleName());
                said.add(String.valueOf(t.getMessage()));
            }
            answer.put("error", String.join(" < ", chain)).put("message", String.join(" < ", said));
        }
        answer.put("millis", TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - start));
        synchronized (OUT) {
            OUT.println(answer);
        }
    }

    private static Properties config(JsonNode request) {
        Properties p = new Properties();
        for (Map.Entry<String, JsonNode> e : request.get("config").properties()) {
            p.put(e.getKey(), e.getValue().asText());
        }
        return p;
    }

    /**
     * Sends count records of size bytes, as many a second as rate says if it is not 0, and not for longer than millis. What is
     * acknowledged after the first skip milliseconds is also counted for itself.
     */
    private static void produce(JsonNode request, ObjectNode answer) throws Exception {
        AtomicReference<Exception> failure = new AtomicReference<>();
        AtomicLong done = new AtomicLong();
        String topic = request.get("topic").asText();
        long count = request.get("count").asLong();
        double rate = request.path("rate").asDouble(0);
        long end = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(request.get("millis").asLong());
        long steady = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(request.path("skip").asLong());
        AtomicLong after = new AtomicLong();
        byte[] value = new byte[request.path("size").asInt(64)];
        try (KafkaProducer<byte[], byte[]> producer =
                new KafkaProducer<>(config(request), new ByteArraySerializer(), new ByteArraySerializer())) {
            long start = System.nanoTime();
            for (long i = 0; i < count && failure.get() == null && System.nanoTime() < end; i++) {
                if (rate > 0) {
                    long ahead = start + (long) (i * 1e9 / rate) - System.nanoTime();
                    if (ahead > 0) TimeUnit.NANOSECONDS.sleep(ahead);
                }
                producer.send(new ProducerRecord<>(topic, value), (metadata, e) -> {
                    if (e != null) failure.compareAndSet(null, e);
                    else done.incrementAndGet();
                    long now = System.nanoTime();
                    if (e == null && now >= steady && now < end) after.incrementAndGet();
                });
            }
            if (failure.get() == null && !request.path("metrics").asBoolean()) producer.flush();
            answer.put("count", done.get()).put("steady", after.get());
            metrics(producer.metrics(), answer);
            producer.close(Duration.ofSeconds(failure.get() == null ? 30 : 0));
        }
        answer.put("count", done.get());
        if (failure.get() != null) throw failure.get();
    }

    /** Reads count records as a group, or without one if there is none, and not for longer than millis. */
    private static void consume(JsonNode request, ObjectNode answer) {
        long end = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(request.get("millis").asLong());
        long count = request.get("count").asLong();
        String topic = request.get("topic").asText();
        Properties config = config(request);
        long steady = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(request.path("skip").asLong());
        long seen = 0;
        long after = 0;
        try (KafkaConsumer<byte[], byte[]> consumer =
                new KafkaConsumer<>(config, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            if (config.containsKey("group.id")) {
                consumer.subscribe(List.of(topic));
            } else {
                consumer.assign(consumer.partitionsFor(topic).stream().map(p -> new TopicPartition(topic, p.partition())).toList());
            }
            while (seen < count && System.nanoTime() < end) {
                ConsumerRecords<byte[], byte[]> records = consumer.poll(Duration.ofMillis(200));
                seen += records.count();
                if (System.nanoTime() >= steady) after += records.count();
                answer.put("count", seen).put("steady", after);
            }
            if (config.containsKey("group.id") && seen > 0) consumer.commitSync();
            metrics(consumer.metrics(), answer);
            if (seen < count && !request.path("metrics").asBoolean()) throw new IllegalStateException("only " + seen + " records");
        }
    }

    private static void transact(JsonNode request, ObjectNode answer) throws Exception {
        try (KafkaProducer<byte[], byte[]> producer =
                new KafkaProducer<>(config(request), new ByteArraySerializer(), new ByteArraySerializer())) {
            try {
                producer.initTransactions();
                producer.beginTransaction();
                long count = request.get("count").asLong();
                for (long i = 0; i < count; i++) {
                    producer.send(new ProducerRecord<>(request.get("topic").asText(), new byte[64]));
                }
                producer.commitTransaction();
                answer.put("count", count);
            } catch (Exception e) {
                producer.close(Duration.ZERO);
                throw e;
            }
        }
    }

    private static void nodes(JsonNode request, ObjectNode answer) throws Exception {
        try (Admin admin = Admin.create(config(request))) {
            var nodes = answer.putArray("nodes");
            for (Node n : admin.describeCluster().nodes().get(30, TimeUnit.SECONDS)) {
                nodes.add(n.host() + ":" + n.port());
            }
        }
    }

    /** Runs a command line tool of Kafka's in this process; how it would have exited is its code. */
    private static void tool(JsonNode request, ObjectNode answer) throws Exception {
        synchronized (ERR) {
            java.io.ByteArrayOutputStream said = new java.io.ByteArrayOutputStream();
            PrintStream to = new PrintStream(said, true, StandardCharsets.UTF_8);
            List<String> args = new ArrayList<>();
            request.get("args").forEach(a -> args.add(a.asText()));
            int code = 0;
            System.setOut(to);
            System.setErr(to);
            Exit.setExitProcedure((status, message) -> {
                throw new Exited(status, message);
            });
            Exit.setHaltProcedure((status, message) -> {
                throw new Exited(status, message);
            });
            try {
                // Console.out keeps the stream of its thread's first use unless it is told of another.
                Class<?> tool = Class.forName(request.get("class").asText());
                try {
                    scala.Console.withOut(to, (scala.Function0<Object>) () -> {
                        try {
                            return tool.getMethod("main", String[].class).invoke(null, (Object) args.toArray(new String[0]));
                        } catch (ReflectiveOperationException e) {
                            throw new IllegalStateException(e.getCause() == null ? e : e.getCause());
                        }
                    });
                } catch (IllegalStateException e) {
                    if (!(e.getCause() instanceof Exited exited)) throw e;
                    code = exited.status;
                    if (exited.getMessage() != null) to.println(exited.getMessage());
                }
            } finally {
                System.setOut(ERR);
                System.setErr(ERR);
                Exit.resetExitProcedure();
                Exit.resetHaltProcedure();
                to.flush();
                answer.put("output", said.toString(StandardCharsets.UTF_8));
            }
            answer.put("code", code);
        }
    }

    private static final class Exited extends RuntimeException {
        private static final long serialVersionUID = 1;
        private final int status;

        private Exited(int status, String message) {
            super(message);
            this.status = status;
        }
    }

    /** What the client says of its throttling and its connections: the largest value of each over all nodes. */
    private static void metrics(Map<MetricName, ? extends Metric> all, ObjectNode answer) {
        ObjectNode out = JSON.createObjectNode();
        for (Map.Entry<MetricName, ? extends Metric> e : all.entrySet()) {
            String name = e.getKey().name();
            if ((name.contains("throttle-time") || name.equals("connection-close-total") || name.equals("connection-creation-total")
                            || name.contains("reauthentication") || name.equals("failed-authentication-total"))
                    && e.getValue().metricValue() instanceof Double value
                    && !value.isNaN()) {
                out.put(name, Math.max(value, out.path(name).asDouble(0)));
            }
        }
        answer.set("metrics", out);
    }
}
