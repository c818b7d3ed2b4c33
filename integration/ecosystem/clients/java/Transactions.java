import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import org.apache.kafka.clients.admin.ListConsumerGroupOffsetsSpec;
import org.apache.kafka.clients.consumer.CommitFailedException;
import org.apache.kafka.clients.consumer.ConsumerGroupMetadata;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.InvalidProducerEpochException;
import org.apache.kafka.common.errors.InvalidTxnStateException;
import org.apache.kafka.common.errors.ProducerFencedException;
import org.apache.kafka.common.errors.TimeoutException;

/** What the transactional Java producer and readers of both isolation levels see: Transactions BOOTSTRAP. */
public final class Transactions extends Scenarios {
    private Transactions(String bootstrap) {
        super(bootstrap);
        add("a commit shows all partitions and topics", this::commit);
        add("an abort is never seen and passed over", this::abort);
        add("interleaved transactions", this::interleaved);
        add("other records wait behind an open transaction", this::heldUp);
        add("many small transactions", this::manySmall);
        add("an aborted transaction of many batches", this::manyBatches);
        add("a zombie is fenced at its commit", this::zombieCommits);
        add("a zombie is fenced when it produces", this::zombieProduces);
        add("a new producer goes on after a commit", this::takenOver);
        add("offsets are committed with the transaction", this::offsets);
        add("offsets of a stale member are refused", this::staleMember);
        add("a fetch of offsets waits for the transaction", this::pendingOffsets);
        add("an abandoned transaction is aborted", this::timesOut);
        add("a producer goes on after a timeout", this::goesOnAfterTimeout);
        add("a transaction timeout above the limit", this::timeoutTooLong);
        add("empty transactions", this::empty);
    }

    public static void main(String[] args) throws Exception {
        new Transactions(args[0]).runAll();
    }

    private KafkaProducer<String, String> transactional(String id) {
        KafkaProducer<String, String> producer = producer(Map.of("transactional.id", id));
        producer.initTransactions();
        return producer;
    }

    private void commit() throws Exception {
        String a = topic("commit-a", 2);
        String b = topic("commit-b", 1);
        try (KafkaProducer<String, String> p = transactional("commit")) {
            p.beginTransaction();
            send(p, a, 0, "a0", "a1");
            send(p, a, 1, "a2");
            send(p, b, 0, "b0");
            same("committed before the commit", Map.of(0, List.of(), 1, List.of()), read(COMMITTED, a));
            same("last stable offset before the commit", 0L, end(COMMITTED, a, 0));
            same("uncommitted before the commit", Map.of(0, List.of("a0", "a1"), 1, List.of("a2")), read(UNCOMMITTED, a));
            p.commitTransaction();
            for (String isolation : List.of(COMMITTED, UNCOMMITTED)) {
                shows(isolation + " of a", Map.of(0, List.of("a0", "a1"), 1, List.of("a2")), isolation, a);
                shows(isolation + " of b", Map.of(0, List.of("b0")), isolation, b);
                eventually(isolation + " end with the marker", 3L, () -> end(isolation, a, 0));
            }
        }
    }

    private void abort() throws Exception {
        String topic = topic("abort", 2);
        try (KafkaProducer<String, String> p = transactional("abort")) {
            p.beginTransaction();
            send(p, topic, 0, "gone0", "gone1");
            send(p, topic, 1, "gone2");
            p.abortTransaction();
            shows("committed", Map.of(0, List.of(), 1, List.of()), COMMITTED, topic);
            eventually("end", 3L, () -> end(COMMITTED, topic, 0));
            p.beginTransaction();
            send(p, topic, 0, "kept");
            p.commitTransaction();
            shows("committed after another", Map.of(0, List.of("kept"), 1, List.of()), COMMITTED, topic);
            shows("uncommitted", Map.of(0, List.of("gone0", "gone1", "kept"), 1, List.of("gone2")), UNCOMMITTED, topic);
        }
    }

    private void interleaved() throws Exception {
        String topic = topic("interleaved", 1);
        try (KafkaProducer<String, String> a = transactional("interleaved-a");
                KafkaProducer<String, String> b = transactional("interleaved-b")) {
            a.beginTransaction();
            b.beginTransaction();
            send(a, topic, 0, "a0");
            send(b, topic, 0, "b0");
            send(a, topic, 0, "a1");
            send(b, topic, 0, "b1");
            a.commitTransaction();
            eventually("stable before the first record of b", 1L, () -> end(COMMITTED, topic, 0));
            same("while b is open", Map.of(0, List.of("a0")), read(COMMITTED, topic));
            a.beginTransaction();
            send(a, topic, 0, "a2");
            b.abortTransaction();
            shows("while a is open again", Map.of(0, List.of("a0", "a1")), COMMITTED, topic);
            a.commitTransaction();
            shows("at last", Map.of(0, List.of("a0", "a1", "a2")), COMMITTED, topic);
            shows("uncommitted", Map.of(0, List.of("a0", "b0", "a1", "b1", "a2")), UNCOMMITTED, topic);
        }
    }

    private void heldUp() throws Exception {
        String topic = topic("held-up", 1);
        try (KafkaProducer<String, String> p = transactional("held-up");
                KafkaProducer<String, String> plain = producer(Map.of());
                KafkaConsumer<String, String> live = consumer(Map.of("isolation.level", COMMITTED))) {
            live.assign(List.of(new TopicPartition(topic, 0)));
            send(plain, topic, 0, "before");
            p.beginTransaction();
            send(p, topic, 0, "open");
            send(plain, topic, 0, "behind");
            List<String> seen = new ArrayList<>();
            eventually("the reader that follows", List.of("before"), () -> poll(live, seen));
            same("while it is open", Map.of(0, List.of("before")), read(COMMITTED, topic));
            p.commitTransaction();
            eventually("the reader that follows", List.of("before", "open", "behind"), () -> poll(live, seen));
        }
    }

    private static List<String> poll(KafkaConsumer<String, String> consumer, List<String> seen) {
        for (ConsumerRecord<String, String> r : consumer.poll(Duration.ofMillis(200))) {
            seen.add(r.value());
        }
        return seen;
    }

    /**
     * Each transaction is flushed before it ends. What is not sent yet when it is aborted would not be written at all. And
     * when it is committed, the client's sending thread may have asked whether there are records to send before there were
     * any, and then waits for its turn to look for a request: the end of the transaction, which it finds, goes out ahead of
     * the records, and a commit of what never began is refused with INVALID_TXN_STATE (kafka-clients 4.3.1:
     * Sender.maybeSendAndPollTransactionalRequest reads hasIncomplete before it enters TransactionManager.nextRequest).
     */
    private void manySmall() throws Exception {
        String topic = topic("many-small", 2);
        List<String> committed = new ArrayList<>();
        List<String> all = new ArrayList<>();
        try (KafkaProducer<String, String> p = transactional("many-small")) {
            for (int i = 0; i < 60; i++) {
                p.beginTransaction();
                for (int partition = 0; partition < 2; partition++) {
                    p.send(new ProducerRecord<>(topic, partition, null, "v" + i));
                }
                all.add("v" + i);
                p.flush();
                if (i % 3 == 2) {
                    p.abortTransaction();
                } else {
                    p.commitTransaction();
                    committed.add("v" + i);
                }
            }
        }
        shows("committed", Map.of(0, committed, 1, committed), COMMITTED, topic);
        shows("uncommitted", Map.of(0, all, 1, all), UNCOMMITTED, topic);
    }

    private void manyBatches() throws Exception {
        String topic = topic("many-batches", 1);
        String filler = "x".repeat(1000);
        List<String> kept = new ArrayList<>();
        try (KafkaProducer<String, String> p = transactional("many-batches");
                KafkaProducer<String, String> plain = producer(Map.of())) {
            p.beginTransaction();
            for (int i = 0; i < 500; i++) {
                p.send(new ProducerRecord<>(topic, 0, null, "gone" + i + filler));
                if (i % 50 == 0) {
                    p.flush();
                    send(plain, topic, 0, "kept" + i);
                    kept.add("kept" + i);
                }
            }
            p.flush();
            p.abortTransaction();
            p.beginTransaction();
            for (int i = 0; i < 50; i++) {
                p.send(new ProducerRecord<>(topic, 0, null, "new" + i + filler));
                kept.add("new" + i + filler);
            }
            p.flush(); // see manySmall
            p.commitTransaction();
        }
        shows("committed", Map.of(0, kept), COMMITTED, topic);
    }

    private void zombieCommits() throws Exception {
        String topic = topic("zombie-commits", 1);
        KafkaProducer<String, String> zombie = transactional("zombie-commits");
        zombie.beginTransaction();
        send(zombie, topic, 0, "of the zombie");
        try (KafkaProducer<String, String> next = transactional("zombie-commits")) {
            refused("the zombie's commit", zombie::commitTransaction,
                    ProducerFencedException.class, InvalidProducerEpochException.class);
            next.beginTransaction();
            send(next, topic, 0, "of the next");
            next.commitTransaction();
        }
        zombie.close(Duration.ZERO);
        shows("committed", Map.of(0, List.of("of the next")), COMMITTED, topic);
    }

    private void zombieProduces() throws Exception {
        String topic = topic("zombie-produces", 1);
        KafkaProducer<String, String> zombie = transactional("zombie-produces");
        zombie.beginTransaction();
        send(zombie, topic, 0, "of the zombie");
        try (KafkaProducer<String, String> next = transactional("zombie-produces")) {
            next.beginTransaction();
            send(next, topic, 0, "of the next");
            refused("the zombie's record", () -> send(zombie, topic, 0, "late"),
                    ProducerFencedException.class, InvalidProducerEpochException.class);
            refused("the zombie's commit", zombie::commitTransaction,
                    ProducerFencedException.class, InvalidProducerEpochException.class);
            next.commitTransaction();
        }
        zombie.close(Duration.ZERO);
        shows("committed", Map.of(0, List.of("of the next")), COMMITTED, topic);
        shows("uncommitted", Map.of(0, List.of("of the zombie", "of the next")), UNCOMMITTED, topic);
    }

    private void takenOver() throws Exception {
        String topic = topic("taken-over", 1);
        List<String> values = new ArrayList<>();
        for (int i = 0; i < 4; i++) {
            try (KafkaProducer<String, String> p = transactional("taken-over")) {
                p.beginTransaction();
                send(p, topic, 0, "life " + i);
                p.commitTransaction();
                values.add("life " + i);
            }
        }
        shows("committed", Map.of(0, values), COMMITTED, topic);
    }

    private Long committed(String group, TopicPartition p) throws Exception {
        Map<TopicPartition, OffsetAndMetadata> offsets = admin.listConsumerGroupOffsets(Map.of(
                group, new ListConsumerGroupOffsetsSpec().topicPartitions(List.of(p)))).partitionsToOffsetAndMetadata(group).get();
        return offsets.get(p) == null ? null : offsets.get(p).offset();
    }

    private void offsets() throws Exception {
        String in = topic("offsets-in", 1);
        String out = topic("offsets-out", 1);
        TopicPartition p = new TopicPartition(in, 0);
        try (KafkaProducer<String, String> plain = producer(Map.of())) {
            send(plain, in, 0, "0", "1", "2", "3");
        }
        Map<String, String> config = Map.of("group.id", "offsets", "group.protocol", "classic", "max.poll.records", "2", "isolation.level", COMMITTED);
        try (KafkaProducer<String, String> producer = transactional("offsets");
                KafkaConsumer<String, String> consumer = consumer(config)) {
            consumer.subscribe(List.of(in));
            move(consumer, producer, out);
            same("offset before the commit", null, committed("offsets", p));
            producer.commitTransaction();
            eventually("offset after the commit", 2L, () -> committed("offsets", p));

            move(consumer, producer, out);
            producer.abortTransaction();
            eventually("offset after the abort", 2L, () -> committed("offsets", p));
        }
        try (KafkaProducer<String, String> producer = transactional("offsets");
                KafkaConsumer<String, String> consumer = consumer(config)) {
            consumer.subscribe(List.of(in));
            move(consumer, producer, out);
            producer.commitTransaction();
            eventually("offset at last", 4L, () -> committed("offsets", p));
        }
        shows("committed output", Map.of(0, List.of("0", "1", "2", "3")), COMMITTED, out);
    }

    /** Begins a transaction, sends on what a poll gives, and adds the offsets. */
    private static void move(KafkaConsumer<String, String> consumer, KafkaProducer<String, String> producer, String out) throws Exception {
        ConsumerRecords<String, String> records = ConsumerRecords.empty();
        for (long deadline = System.nanoTime() + PATIENCE.toNanos(); records.isEmpty(); ) {
            check(System.nanoTime() < deadline, "records to move", records.count());
            records = consumer.poll(Duration.ofMillis(200));
        }
        producer.beginTransaction();
        for (ConsumerRecord<String, String> r : records) {
            send(producer, out, 0, r.value());
        }
        producer.sendOffsetsToTransaction(records.nextOffsets(), consumer.groupMetadata());
    }

    @SuppressWarnings("removal") // there is no other way to be a member that is not
    private static ConsumerGroupMetadata member(String group, int generation, String id) {
        return new ConsumerGroupMetadata(group, generation, id, Optional.empty());
    }

    private void staleMember() throws Exception {
        String in = topic("stale-in", 1);
        TopicPartition p = new TopicPartition(in, 0);
        Map<TopicPartition, OffsetAndMetadata> offsets = Map.of(p, new OffsetAndMetadata(1));
        try (KafkaProducer<String, String> producer = transactional("stale");
                KafkaConsumer<String, String> consumer = consumer(Map.of("group.id", "stale", "group.protocol", "classic"))) {
            producer.beginTransaction();
            send(producer, in, 0, "0");
            producer.commitTransaction();
            consumer.subscribe(List.of(in));
            List<String> seen = new ArrayList<>();
            eventually("the consumer reads", List.of("0"), () -> poll(consumer, seen));
            ConsumerGroupMetadata now = consumer.groupMetadata();
            producer.beginTransaction();
            refused("an older generation", () -> producer.sendOffsetsToTransaction(offsets, member(
                    "stale", now.generationId() - 1, now.memberId())), CommitFailedException.class);
            producer.abortTransaction();
            producer.beginTransaction();
            refused("an unknown member", () -> producer.sendOffsetsToTransaction(offsets, member(
                    "stale", now.generationId(), "nobody")), CommitFailedException.class);
            producer.abortTransaction();
            same("nothing was committed", null, committed("stale", p));
            producer.beginTransaction();
            producer.sendOffsetsToTransaction(offsets, consumer.groupMetadata());
            producer.commitTransaction();
            eventually("the member's own commit", 1L, () -> committed("stale", p));
        }
    }

    private void pendingOffsets() throws Exception {
        String in = topic("pending-in", 1);
        TopicPartition p = new TopicPartition(in, 0);
        try (KafkaProducer<String, String> producer = transactional("pending");
                KafkaConsumer<String, String> consumer = consumer(Map.of("group.id", "pending"))) {
            producer.beginTransaction();
            producer.sendOffsetsToTransaction(Map.of(p, new OffsetAndMetadata(7)), member("pending", -1, ""));
            refused("offsets while they are pending", () -> consumer.committed(Set.of(p), Duration.ofSeconds(1)), TimeoutException.class);
            producer.commitTransaction();
            same("offset", 7L, consumer.committed(Set.of(p)).get(p).offset()); // waits for it
        }
    }

    private void timesOut() throws Exception {
        String topic = topic("times-out", 1);
        KafkaProducer<String, String> p = producer(Map.of("transactional.id", "times-out", "transaction.timeout.ms", "3000"));
        p.initTransactions();
        p.beginTransaction();
        send(p, topic, 0, "abandoned");
        try (KafkaProducer<String, String> plain = producer(Map.of())) {
            send(plain, topic, 0, "behind");
        }
        shows("what readers see", Map.of(0, List.of("behind")), COMMITTED, topic);
        // The coordinator's abort raised the epoch, as this end would have: it is taken for one repeated, the other way.
        refused("the commit after the timeout", p::commitTransaction, InvalidTxnStateException.class);
        p.close(Duration.ZERO);
        try (KafkaProducer<String, String> next = transactional("times-out")) {
            next.beginTransaction();
            send(next, topic, 0, "next");
            next.commitTransaction();
        }
        shows("committed", Map.of(0, List.of("behind", "next")), COMMITTED, topic);
    }

    private void goesOnAfterTimeout() throws Exception {
        String topic = topic("goes-on", 1);
        try (KafkaProducer<String, String> p = producer(Map.of("transactional.id", "goes-on", "transaction.timeout.ms", "3000"))) {
            p.initTransactions();
            p.beginTransaction();
            send(p, topic, 0, "abandoned");
            eventually("end after the timeout", 2L, () -> end(COMMITTED, topic, 0));
            refused("a record after the timeout", () -> send(p, topic, 0, "late"), InvalidProducerEpochException.class);
            p.abortTransaction();
            p.beginTransaction();
            send(p, topic, 0, "next");
            p.commitTransaction();
        }
        shows("committed", Map.of(0, List.of("next")), COMMITTED, topic);
        same("uncommitted", Map.of(0, List.of("abandoned", "next")), read(UNCOMMITTED, topic));
    }

    private void timeoutTooLong() {
        try (KafkaProducer<String, String> p = producer(Map.of("transactional.id", "too-long", "transaction.timeout.ms", "900001"))) {
            Throwable e = refused("15 minutes and a millisecond", p::initTransactions, KafkaException.class);
            check(e.getMessage().contains("transaction.max.timeout.ms"), "the error names the limit", e);
        }
    }

    private void empty() throws Exception {
        String topic = topic("empty", 1);
        try (KafkaProducer<String, String> p = transactional("empty")) {
            p.beginTransaction();
            p.commitTransaction();
            p.beginTransaction();
            p.abortTransaction();
            same("nothing was written", 0L, end(UNCOMMITTED, topic, 0));
            p.beginTransaction();
            send(p, topic, 0, "full");
            p.commitTransaction();
        }
        shows("committed", Map.of(0, List.of("full")), COMMITTED, topic);
    }
}
