import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * Kafka's own clients in the hands of whoever drives this program, which is told what to do in lines and answers in lines:
 * Participant BOOTSTRAP.
 *
 * <pre>
 * WORKER COMMAND ARGUMENT...                answer: WORKER then
 * producer [TRANSACTIONAL-ID]               ok
 * consumer ISOLATION TOPIC PARTITIONS       ok
 * begin | commit | abort | close            ok
 * send TOPIC (PARTITION KEY VALUE)...       ok OFFSET... with ! in place of those that failed, and the last error
 * poll                                      ok (PARTITION OFFSET KEY VALUE)...
 * </pre>
 *
 * An error is answered with "error CLASS MESSAGE". A worker has one client at a time and does one thing after the other;
 * workers do not wait for each other.
 */
public final class Participant {
    private static final PrintStream OUT = new PrintStream(System.out, false, StandardCharsets.UTF_8);

    private final String bootstrap;
    private KafkaProducer<String, String> producer;
    private KafkaConsumer<String, String> consumer;

    private Participant(String bootstrap) {
        this.bootstrap = bootstrap;
    }

    public static void main(String[] args) throws IOException {
        Map<String, Participant> workers = new HashMap<>();
        Map<String, ExecutorService> threads = new HashMap<>();
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            String[] words = line.split(" ");
            Participant worker = workers.computeIfAbsent(words[0], name -> new Participant(args[0]));
            threads.computeIfAbsent(words[0], name -> Executors.newSingleThreadExecutor()).execute(() -> {
                String answer;
                try {
                    answer = "ok" + worker.perform(words);
                } catch (Exception e) {
                    answer = "error " + told(e);
                }
                synchronized (OUT) {
                    OUT.print(words[0] + " " + answer + "\n");
                    OUT.flush();
                }
            });
        }
        Runtime.getRuntime().halt(0); // nobody waits for what clients do at their end
    }

    private static String told(Exception e) {
        Throwable cause = e instanceof java.util.concurrent.ExecutionException && e.getCause() != null ? e.getCause() : e;
        return (cause.getClass().getSimpleName() + " " + cause.getMessage()).replace('\n', ' ');
    }

    private String perform(String[] words) throws Exception {
        switch (words[1]) {
            case "producer":
                producer = new KafkaProducer<>(producing(words.length > 2 ? words[2] : null));
                if (words.length > 2) {
                    producer.initTransactions();
                }
                return "";
            case "consumer":
                consumer = new KafkaConsumer<>(consuming(words[2]));
                List<TopicPartition> partitions = new ArrayList<>();
                for (int i = 0; i < Integer.parseInt(words[4]); i++) {
                    partitions.add(new TopicPartition(words[3], i));
                }
                consumer.assign(partitions);
                consumer.seekToBeginning(partitions);
                return "";
            case "begin":
                producer.beginTransaction();
                return "";
            case "commit":
                producer.commitTransaction();
                return "";
            case "abort":
                producer.abortTransaction();
                return "";
            case "send":
                return send(words);
            case "poll":
                return poll();
            case "close":
                close();
                return "";
            default:
                throw new IllegalArgumentException(words[1]);
        }
    }

    private void close() {
        if (producer != null) {
            producer.close(Duration.ZERO);
            producer = null;
        }
        if (consumer != null) {
            consumer.close(org.apache.kafka.clients.consumer.CloseOptions.timeout(Duration.ZERO));
            consumer = null;
        }
    }

    private String send(String[] words) throws Exception {
        List<Future<RecordMetadata>> sent = new ArrayList<>();
        Exception last = null;
        for (int i = 3; i < words.length; i += 3) {
            try {
                sent.add(producer.send(new ProducerRecord<>(words[2], Integer.valueOf(words[i]), words[i + 1], words[i + 2])));
            } catch (RuntimeException e) {
                last = e;
                break; // what follows is not sent, and is among those that failed
            }
        }
        StringBuilder answer = new StringBuilder();
        for (int i = 0; i < (words.length - 3) / 3; i++) {
            try {
                answer.append(' ').append(i < sent.size() ? Long.toString(sent.get(i).get().offset()) : "!");
            } catch (java.util.concurrent.ExecutionException e) {
                answer.append(" !");
                last = e;
            }
        }
        return last == null ? answer.toString() : answer + " " + told(last);
    }

    private String poll() {
        StringBuilder answer = new StringBuilder();
        for (ConsumerRecord<String, String> r : consumer.poll(Duration.ofMillis(500))) {
            answer.append(' ').append(r.partition()).append(' ').append(r.offset()).append(' ').append(r.key()).append(' ').append(r.value());
        }
        return answer.toString();
    }

    private Properties producing(String transactionalId) {
        Properties p = common();
        p.put(ProducerConfig.KEY_SERIALIZER_CLASS_CONFIG, StringSerializer.class);
        p.put(ProducerConfig.VALUE_SERIALIZER_CLASS_CONFIG, StringSerializer.class);
        p.put(ProducerConfig.DELIVERY_TIMEOUT_MS_CONFIG, 8000);
        p.put(ProducerConfig.MAX_BLOCK_MS_CONFIG, 8000);
        p.put(ProducerConfig.LINGER_MS_CONFIG, 0);
        if (transactionalId != null) {
            p.put(ProducerConfig.TRANSACTIONAL_ID_CONFIG, transactionalId);
            p.put(ProducerConfig.TRANSACTION_TIMEOUT_CONFIG, 10000);
        }
        return p;
    }

    private Properties consuming(String isolation) {
        Properties p = common();
        p.put(ConsumerConfig.KEY_DESERIALIZER_CLASS_CONFIG, StringDeserializer.class);
        p.put(ConsumerConfig.VALUE_DESERIALIZER_CLASS_CONFIG, StringDeserializer.class);
        p.put(ConsumerConfig.ISOLATION_LEVEL_CONFIG, isolation);
        p.put(ConsumerConfig.ENABLE_AUTO_COMMIT_CONFIG, false);
        p.put(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG, "earliest");
        p.put(ConsumerConfig.FETCH_MAX_WAIT_MS_CONFIG, 300);
        p.put(ConsumerConfig.DEFAULT_API_TIMEOUT_MS_CONFIG, 8000);
        return p;
    }

    private Properties common() {
        Properties p = new Properties();
        p.put("bootstrap.servers", bootstrap);
        p.put("request.timeout.ms", 4000);
        p.put("metadata.max.age.ms", 5000);
        p.put("reconnect.backoff.max.ms", 500);
        p.put("socket.connection.setup.timeout.ms", 2000);
        return p;
    }
}
