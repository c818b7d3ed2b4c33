import java.time.Duration;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/** Starts the container of docs/testing.md by the image that is named, writes a record and reads it. */
final class RoundTrip {
    private RoundTrip() {}

    public static void main(String[] args) throws Exception {
        try (RunnelContainer runnel = new RunnelContainer(args[0])) {
            runnel.start();
            String bootstrap = runnel.getBootstrapServers();
            try (KafkaProducer<String, String> producer =
                    new KafkaProducer<>(Map.of("bootstrap.servers", bootstrap), new StringSerializer(), new StringSerializer())) {
                producer.send(new ProducerRecord<>("greetings", "hello")).get();
            }
            Map<String, Object> config = Map.of("bootstrap.servers", bootstrap, "group.id", "g", "auto.offset.reset", "earliest");
            try (KafkaConsumer<String, String> consumer = new KafkaConsumer<>(config, new StringDeserializer(), new StringDeserializer())) {
                consumer.subscribe(List.of("greetings"));
                for (int i = 0; i < 60; i++) {
                    for (ConsumerRecord<String, String> r : consumer.poll(Duration.ofSeconds(1))) {
                        System.out.println("read " + r.value());
                        return;
                    }
                }
            }
        }
        throw new IllegalStateException("the record did not come back within a minute");
    }
}
