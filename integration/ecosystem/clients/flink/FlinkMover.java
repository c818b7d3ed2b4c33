import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.Optional;
import java.util.stream.Stream;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.connector.base.DeliveryGuarantee;
import org.apache.flink.connector.kafka.sink.KafkaRecordSerializationSchema;
import org.apache.flink.connector.kafka.sink.KafkaSink;
import org.apache.flink.connector.kafka.source.KafkaSource;
import org.apache.flink.connector.kafka.source.enumerator.initializer.OffsetsInitializer;
import org.apache.flink.connector.kafka.source.reader.deserializer.KafkaRecordDeserializationSchema;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.util.Collector;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.producer.ProducerRecord;

/**
 * A Flink job, with its cluster in this process, that moves records exactly once until it is killed:
 * FlinkMover BOOTSTRAP FROM TO CHECKPOINTS. It begins at the last checkpoint there is; what that left prepared is committed
 * then, by a producer that takes up the id and epoch of the one before.
 */
public final class FlinkMover {
    private FlinkMover() {}

    public static void main(String[] args) throws Exception {
        Path checkpoints = Path.of(args[3]);
        Configuration config = new Configuration();
        config.setString("execution.checkpointing.interval", "500ms");
        config.setString("execution.checkpointing.dir", checkpoints.toUri().toString());
        config.setString("execution.checkpointing.externalized-checkpoint-retention", "RETAIN_ON_CANCELLATION");
        config.setString("execution.checkpointing.num-retained", "2");
        config.setString("restart-strategy.type", "disable");
        config.setString("parallelism.default", "2");
        config.setString("taskmanager.memory.network.min", "16mb");
        config.setString("taskmanager.memory.network.max", "16mb");
        last(checkpoints).ifPresent(at -> config.setString("execution.state-recovery.path", at.toUri().toString()));

        StreamExecutionEnvironment env = StreamExecutionEnvironment.getExecutionEnvironment(config);
        KafkaSource<String> source = KafkaSource.<String>builder()
                .setBootstrapServers(args[0])
                .setTopics(args[1])
                .setGroupId("flink")
                .setStartingOffsets(OffsetsInitializer.earliest())
                .setProperty("isolation.level", "read_committed")
                .setDeserializer(new WithPartition())
                .build();
        KafkaSink<String> sink = KafkaSink.<String>builder()
                .setBootstrapServers(args[0])
                .setDeliveryGuarantee(DeliveryGuarantee.EXACTLY_ONCE)
                .setTransactionalIdPrefix("flink")
                .setProperty("transaction.timeout.ms", "60000")
                .setRecordSerializer(new ToPartition(args[2]))
                .build();
        env.fromSource(source, WatermarkStrategy.noWatermarks(), "from").uid("from").sinkTo(sink).uid("to");
        env.execute();
    }

    private static Optional<Path> last(Path checkpoints) throws IOException {
        if (!Files.exists(checkpoints)) return Optional.empty();
        try (Stream<Path> all = Files.walk(checkpoints)) {
            return all.filter(p -> p.endsWith("_metadata"))
                    .max(Comparator.comparingLong(p -> p.toFile().lastModified()))
                    .map(Path::getParent);
        }
    }

    /** Reads "PARTITION VALUE". */
    private static final class WithPartition implements KafkaRecordDeserializationSchema<String> {
        private static final long serialVersionUID = 1;

        @Override
        public void deserialize(ConsumerRecord<byte[], byte[]> r, Collector<String> out) {
            out.collect(r.partition() + " " + new String(r.value(), StandardCharsets.UTF_8));
        }

        @Override
        public TypeInformation<String> getProducedType() {
            return Types.STRING;
        }
    }

    private static final class ToPartition implements KafkaRecordSerializationSchema<String> {
        private static final long serialVersionUID = 1;
        private final String topic;

        ToPartition(String topic) {
            this.topic = topic;
        }

        @Override
        public ProducerRecord<byte[], byte[]> serialize(String record, KafkaSinkContext context, Long timestamp) {
            int space = record.indexOf(' ');
            return new ProducerRecord<>(topic, Integer.valueOf(record.substring(0, space)), null,
                    record.substring(space + 1).getBytes(StandardCharsets.UTF_8));
        }
    }
}
