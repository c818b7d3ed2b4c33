import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Base64;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeaders;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * The Java client, with its defaults, behind the interface all clients here share:
 *
 * <pre>
 * Client produce BOOTSTRAP TOPIC CODEC        reads records, one JSON object a line, until the end of input
 * Client consume BOOTSTRAP TOPIC GROUP COUNT  prints COUNT records so, commits and leaves the group
 * </pre>
 */
public final class Client {
    private static final ObjectMapper JSON = new ObjectMapper();

    private Client() {}

    public static void main(String[] args) throws Exception {
        switch (args[0]) {
            case "produce" -> produce(args[1], args[2], args[3]);
            case "consume" -> consume(args[1], args[2], args[3], Long.parseLong(args[4]));
            default -> throw new IllegalArgumentException(args[0]);
        }
    }

    private static void produce(String bootstrap, String topic, String codec) throws Exception {
        Properties config = new Properties();
        config.put("bootstrap.servers", bootstrap);
        config.put("compression.type", codec);
        AtomicReference<Exception> failure = new AtomicReference<>();
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8), 1 << 16);
        try (KafkaProducer<byte[], byte[]> producer =
                new KafkaProducer<>(config, new ByteArraySerializer(), new ByteArraySerializer())) {
            for (String line; (line = in.readLine()) != null; ) {
                JsonNode r = JSON.readTree(line);
                RecordHeaders headers = new RecordHeaders();
                for (JsonNode h : r.get("h")) {
                    headers.add(h.get(0).asText(), bytes(h.get(1)));
                }
                Long timestamp = r.has("t") ? r.get("t").asLong() : null;
                producer.send(
                        new ProducerRecord<>(topic, null, timestamp, bytes(r.get("k")), bytes(r.get("v")), headers),
                        (metadata, e) -> {
                            if (e != null) failure.compareAndSet(null, e);
                        });
            }
        }
        if (failure.get() != null) throw failure.get();
    }

    private static void consume(String bootstrap, String topic, String group, long count) {
        Properties config = new Properties();
        config.put("bootstrap.servers", bootstrap);
        config.put("group.id", group);
        config.put("auto.offset.reset", "earliest");
        config.put("enable.auto.commit", "false");
        PrintStream out = new PrintStream(System.out, false, StandardCharsets.UTF_8);
        try (KafkaConsumer<byte[], byte[]> consumer =
                new KafkaConsumer<>(config, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            consumer.subscribe(List.of(topic));
            StringBuilder lines = new StringBuilder();
            for (long seen = 0; seen < count; ) {
                for (ConsumerRecord<byte[], byte[]> r : consumer.poll(Duration.ofSeconds(1))) {
                    print(lines, r);
                    seen++;
                }
                out.print(lines);
                lines.setLength(0);
            }
            out.flush();
            consumer.commitSync();
        }
    }

    private static void print(StringBuilder out, ConsumerRecord<byte[], byte[]> r) {
        out.append("{\"p\":").append(r.partition()).append(",\"o\":").append(r.offset());
        out.append(",\"t\":").append(r.timestamp());
        out.append(",\"k\":").append(text(r.key())).append(",\"v\":").append(text(r.value())).append(",\"h\":[");
        String comma = "";
        for (Header h : r.headers()) {
            out.append(comma).append("[\"").append(h.key()).append("\",").append(text(h.value())).append(']');
            comma = ",";
        }
        out.append("]}\n");
    }

    private static byte[] bytes(JsonNode n) {
        return n.isNull() ? null : Base64.getDecoder().decode(n.asText());
    }

    private static String text(byte[] b) {
        return b == null ? "null" : '"' + Base64.getEncoder().encodeToString(b) + '"';
    }
}
