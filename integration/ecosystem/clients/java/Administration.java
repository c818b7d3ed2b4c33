import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.DeleteRecordsOptions;
import org.apache.kafka.clients.admin.DescribeProducersResult.PartitionProducerState;
import org.apache.kafka.clients.admin.FeatureMetadata;
import org.apache.kafka.clients.admin.GroupListing;
import org.apache.kafka.clients.admin.ListGroupsOptions;
import org.apache.kafka.clients.admin.ListOffsetsOptions;
import org.apache.kafka.clients.admin.ListTransactionsOptions;
import org.apache.kafka.clients.admin.NewPartitionReassignment;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.ProducerState;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.admin.TransactionDescription;
import org.apache.kafka.clients.admin.TransactionListing;
import org.apache.kafka.clients.admin.TransactionState;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.common.ElectionType;
import org.apache.kafka.common.GroupState;
import org.apache.kafka.common.GroupType;
import org.apache.kafka.common.IsolationLevel;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.ElectionNotNeededException;
import org.apache.kafka.common.errors.GroupIdNotFoundException;
import org.apache.kafka.common.errors.GroupNotEmptyException;
import org.apache.kafka.common.errors.GroupSubscribedToTopicException;
import org.apache.kafka.common.errors.InvalidProducerEpochException;
import org.apache.kafka.common.errors.NoReassignmentInProgressException;
import org.apache.kafka.common.errors.OffsetOutOfRangeException;
import org.apache.kafka.common.errors.ProducerFencedException;
import org.apache.kafka.common.errors.TransactionalIdNotFoundException;
import org.apache.kafka.common.errors.UnknownMemberIdException;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;

/** What the Java administrator can ask about transactions, groups, records and partitions: Administration BOOTSTRAP. */
public final class Administration extends Scenarios {
    private Administration(String bootstrap) {
        super(bootstrap);
        add("features", this::features);
        add("transactions are listed and described", this::transactions);
        add("producers of a partition are described", this::producers);
        add("producers are fenced", this::fence);
        add("a transaction is terminated by force", this::terminate);
        add("groups are listed by type and state", this::groups);
        add("offsets of a group are altered", this::alterOffsets);
        add("offsets of a group are deleted", this::deleteOffsets);
        add("groups are deleted", this::deleteGroups);
        add("records are deleted", this::deleteRecords);
        add("offsets are listed by isolation level and time", this::listOffsets);
        add("leaders are elected", this::electLeaders);
        add("partitions are reassigned", this::reassign);
    }

    public static void main(String[] args) throws Exception {
        new Administration(args[0]).runAll();
    }

    private void features() throws Exception {
        FeatureMetadata features = admin.describeFeatures().featureMetadata().get();
        for (Map.Entry<String, Integer> f : Map.of("transaction.version", 2, "group.version", 1).entrySet()) {
            check(features.finalizedFeatures().containsKey(f.getKey()), f.getKey() + " is finalized", features);
            same("finalized " + f.getKey(), (int) f.getValue(), (int) features.finalizedFeatures().get(f.getKey()).maxVersionLevel());
            check(features.supportedFeatures().get(f.getKey()).maxVersion() >= f.getValue(), f.getKey() + " is supported", features);
        }
        check(features.finalizedFeaturesEpoch().orElse(-1L) >= 0, "the epoch of features", features);
    }

    private KafkaProducer<String, String> open(String id, String topic) throws Exception {
        KafkaProducer<String, String> producer = producer(Map.of("transactional.id", id, "transaction.timeout.ms", "45000"));
        producer.initTransactions();
        producer.beginTransaction();
        send(producer, topic, 0, "value of " + id);
        return producer;
    }

    private Set<String> list(ListTransactionsOptions options) throws Exception {
        return admin.listTransactions(options).all().get().stream().map(TransactionListing::transactionalId)
                .filter(id -> id.startsWith("listed-")).collect(Collectors.toSet());
    }

    private void transactions() throws Exception {
        String topic = topic("listed", 2);
        long began = System.currentTimeMillis();
        try (KafkaProducer<String, String> open = open("listed-open", topic);
                KafkaProducer<String, String> done = open("listed-done", topic)) {
            send(open, topic, 1, "of the other partition");
            done.commitTransaction();
            eventually("all", Set.of("listed-open", "listed-done"), () -> list(new ListTransactionsOptions()));
            eventually("ongoing", Set.of("listed-open"), () -> list(new ListTransactionsOptions().filterStates(Set.of(TransactionState.ONGOING))));
            eventually("committed", Set.of("listed-done"),
                    () -> list(new ListTransactionsOptions().filterStates(Set.of(TransactionState.COMPLETE_COMMIT))));
            same("open for an hour", Set.of(), list(new ListTransactionsOptions().filterOnDuration(3_600_000)));
            same("by pattern", Set.of("listed-done"), list(new ListTransactionsOptions().filterOnTransactionalIdPattern("listed-d.*")));

            Map<String, TransactionDescription> all = admin.describeTransactions(List.of("listed-open", "listed-done")).all().get();
            TransactionDescription ongoing = all.get("listed-open");
            same("state", TransactionState.ONGOING, ongoing.state());
            same("partitions", Set.of(new TopicPartition(topic, 0), new TopicPartition(topic, 1)), ongoing.topicPartitions());
            same("timeout", 45000L, ongoing.transactionTimeoutMs());
            check(ongoing.transactionStartTimeMs().orElse(0) >= began - 5000, "start", ongoing);
            same("by producer", Set.of("listed-open"), list(new ListTransactionsOptions().filterProducerIds(Set.of(ongoing.producerId()))));
            TransactionDescription ended = all.get("listed-done");
            same("state after the commit", TransactionState.COMPLETE_COMMIT, ended.state());
            same("partitions after the commit", Set.of(), ended.topicPartitions());
            refused("an unknown id", () -> admin.describeTransactions(List.of("nobody's")).all().get(), TransactionalIdNotFoundException.class);
            open.abortTransaction();
            eventually("state after the abort", TransactionState.COMPLETE_ABORT,
                    () -> admin.describeTransactions(List.of("listed-open")).description("listed-open").get().state());
        }
    }

    private List<ProducerState> describe(TopicPartition p) throws Exception {
        PartitionProducerState state = admin.describeProducers(List.of(p)).partitionResult(p).get();
        return state.activeProducers();
    }

    private void producers() throws Exception {
        String topic = topic("produced", 1);
        TopicPartition p = new TopicPartition(topic, 0);
        same("before anything", List.of(), describe(p));
        try (KafkaProducer<String, String> plain = producer(Map.of())) {
            send(plain, topic, 0, "0", "1");
        }
        ProducerState idempotent = describe(p).get(0);
        same("last sequence", 1, idempotent.lastSequence());
        check(idempotent.currentTransactionStartOffset().isEmpty(), "no transaction", idempotent);
        try (KafkaProducer<String, String> open = open("produced", topic)) {
            send(open, topic, 0, "another");
            ProducerState writing = describe(p).stream().filter(s -> s.producerId() != idempotent.producerId()).findFirst().orElseThrow();
            same("start of the transaction", 2L, writing.currentTransactionStartOffset().orElse(-1));
            same("last sequence in the transaction", 1, writing.lastSequence());
            check(writing.lastTimestamp() > 0, "last timestamp", writing);
            open.commitTransaction();
            eventually("transactions after the commit", 0L, () -> describe(p).stream().filter(s -> s.currentTransactionStartOffset().isPresent()).count());
        }
    }

    private void fence() throws Exception {
        String topic = topic("fenced", 1);
        try (KafkaProducer<String, String> open = open("fenced", topic)) {
            admin.fenceProducers(List.of("fenced")).all().get();
            refused("the fenced producer's commit", open::commitTransaction, ProducerFencedException.class, InvalidProducerEpochException.class);
        }
        shows("committed", Map.of(0, List.of()), COMMITTED, topic);
        eventually("end", 2L, () -> end(COMMITTED, topic, 0));
    }

    private void terminate() throws Exception {
        String topic = topic("terminated", 1);
        try (KafkaProducer<String, String> open = open("terminated", topic)) {
            admin.forceTerminateTransaction("terminated").result().get();
            eventually("end", 2L, () -> end(COMMITTED, topic, 0));
            refused("the commit", open::commitTransaction, ProducerFencedException.class, InvalidProducerEpochException.class);
        }
        shows("committed", Map.of(0, List.of()), COMMITTED, topic);
    }

    private KafkaConsumer<String, String> member(String group, String topic, String protocol) throws Exception {
        KafkaConsumer<String, String> consumer = consumer(Map.of("group.id", group, "group.protocol", protocol));
        consumer.subscribe(List.of(topic));
        eventually("the consumer has its partitions", false, () -> {
            consumer.poll(Duration.ofMillis(100));
            return consumer.assignment().isEmpty();
        });
        return consumer;
    }

    private Set<String> list(ListGroupsOptions options) throws Exception {
        Collection<GroupListing> all = admin.listGroups(options).all().get();
        return all.stream().map(GroupListing::groupId).filter(id -> id.startsWith("type-")).collect(Collectors.toSet());
    }

    private void groups() throws Exception {
        String topic = topic("grouped", 1);
        try (KafkaConsumer<String, String> classic = member("type-classic", topic, "classic");
                KafkaConsumer<String, String> consumer = member("type-consumer", topic, "consumer")) {
            TopicPartition p = new TopicPartition(topic, 0);
            admin.alterConsumerGroupOffsets("type-simple", Map.of(p, new OffsetAndMetadata(0))).all().get();
            same("all", Set.of("type-classic", "type-consumer", "type-simple"), list(new ListGroupsOptions()));
            same("of the classic type", Set.of("type-classic", "type-simple"), list(new ListGroupsOptions().withTypes(Set.of(GroupType.CLASSIC))));
            same("of the consumer type", Set.of("type-consumer"), list(new ListGroupsOptions().withTypes(Set.of(GroupType.CONSUMER))));
            same("of consumers", Set.of("type-classic", "type-consumer", "type-simple"), list(ListGroupsOptions.forConsumerGroups()));
            same("empty", Set.of("type-simple"), list(new ListGroupsOptions().inGroupStates(Set.of(GroupState.EMPTY))));
            eventually("stable", Set.of("type-classic", "type-consumer"), () -> {
                classic.poll(Duration.ZERO);
                consumer.poll(Duration.ofMillis(50));
                return list(new ListGroupsOptions().inGroupStates(Set.of(GroupState.STABLE)));
            });
            same("type of the described", GroupType.CONSUMER,
                    admin.describeConsumerGroups(List.of("type-consumer")).all().get().get("type-consumer").type());
            same("type of the other described", GroupType.CLASSIC,
                    admin.describeConsumerGroups(List.of("type-classic")).all().get().get("type-classic").type());
        }
    }

    private Map<TopicPartition, OffsetAndMetadata> committed(String group) throws Exception {
        return admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get();
    }

    @SuppressWarnings("try")
    private void alterOffsets() throws Exception {
        String topic = topic("altered", 2);
        TopicPartition p = new TopicPartition(topic, 0);
        OffsetAndMetadata offset = new OffsetAndMetadata(3, Optional.of(0), "by hand");
        admin.alterConsumerGroupOffsets("altered", Map.of(p, offset)).all().get();
        same("offsets", Map.of(p, offset), committed("altered"));
        try (KafkaConsumer<String, String> consumer = member("altered", topic, "classic")) {
            refused("of a group with members", () -> admin.alterConsumerGroupOffsets("altered", Map.of(p, offset)).all().get(),
                    UnknownMemberIdException.class);
        }
        refused("of an unknown topic", () -> admin.alterConsumerGroupOffsets(
                "altered", Map.of(new TopicPartition("nowhere", 0), offset)).all().get(), UnknownTopicOrPartitionException.class);
    }

    @SuppressWarnings("try")
    private void deleteOffsets() throws Exception {
        String read = topic("offsets-read", 1);
        String left = topic("offsets-left", 1);
        TopicPartition r = new TopicPartition(read, 0);
        TopicPartition l = new TopicPartition(left, 0);
        admin.alterConsumerGroupOffsets("deleted-offsets", Map.of(r, new OffsetAndMetadata(0), l, new OffsetAndMetadata(0))).all().get();
        try (KafkaConsumer<String, String> consumer = member("deleted-offsets", read, "classic")) {
            refused("of a subscribed topic", () -> admin.deleteConsumerGroupOffsets("deleted-offsets", Set.of(r)).all().get(),
                    GroupSubscribedToTopicException.class);
            admin.deleteConsumerGroupOffsets("deleted-offsets", Set.of(l)).all().get();
            same("left", Set.of(r), committed("deleted-offsets").keySet());
        }
        admin.deleteConsumerGroupOffsets("deleted-offsets", Set.of(r)).all().get();
        same("at last", Map.of(), committed("deleted-offsets"));
        refused("of an unknown group", () -> admin.deleteConsumerGroupOffsets("nobody's", Set.of(r)).all().get(), GroupIdNotFoundException.class);
    }

    private void deleteGroups() throws Exception {
        String topic = topic("of-deleted-group", 1);
        try (KafkaConsumer<String, String> consumer = member("deleted-group", topic, "classic")) {
            consumer.commitSync(Map.of(new TopicPartition(topic, 0), new OffsetAndMetadata(0)));
            refused("a group with members", () -> admin.deleteConsumerGroups(List.of("deleted-group")).all().get(), GroupNotEmptyException.class);
        }
        admin.deleteConsumerGroups(List.of("deleted-group")).all().get();
        same("offsets of the deleted group", Map.of(), committed("deleted-group"));
        refused("an unknown group", () -> admin.deleteConsumerGroups(List.of("deleted-group")).all().get(), GroupIdNotFoundException.class);
    }

    private void deleteRecords() throws Exception {
        String topic = topic("deleted-records", 2);
        TopicPartition p = new TopicPartition(topic, 0);
        try (KafkaProducer<String, String> plain = producer(Map.of());
                KafkaConsumer<String, String> reader = consumer(Map.of())) {
            send(plain, topic, 0, "0", "1", "2", "3", "4");
            same("low watermark", 3L, admin.deleteRecords(Map.of(p, RecordsToDelete.beforeOffset(3))).lowWatermarks().get(p).get().lowWatermark());
            shows("left", Map.of(0, List.of("3", "4"), 1, List.of()), UNCOMMITTED, topic);
            same("again, lower", 3L, admin.deleteRecords(Map.of(p, RecordsToDelete.beforeOffset(1))).lowWatermarks().get(p).get().lowWatermark());
            refused("beyond the end", () -> admin.deleteRecords(Map.of(p, RecordsToDelete.beforeOffset(6)), new DeleteRecordsOptions()).all().get(),
                    OffsetOutOfRangeException.class);
            same("beginning", 3L, reader.beginningOffsets(List.of(p)).get(p));
            reader.assign(List.of(p));
            reader.seek(p, 1);
            List<String> seen = new ArrayList<>();
            eventually("who stood before it is reset to the beginning", List.of("3", "4"), () -> {
                for (ConsumerRecord<String, String> r : reader.poll(Duration.ofMillis(100))) seen.add(r.value());
                return seen;
            });
            same("all", 5L, admin.deleteRecords(Map.of(p, RecordsToDelete.beforeOffset(-1))).lowWatermarks().get(p).get().lowWatermark());
            shows("nothing left", Map.of(0, List.of(), 1, List.of()), UNCOMMITTED, topic);
            send(plain, topic, 0, "5");
            shows("what came after", Map.of(0, List.of("5"), 1, List.of()), UNCOMMITTED, topic);
        }
    }

    private long offset(TopicPartition p, OffsetSpec spec, IsolationLevel isolation) throws Exception {
        return admin.listOffsets(Map.of(p, spec), new ListOffsetsOptions(isolation)).partitionResult(p).get().offset();
    }

    private void listOffsets() throws Exception {
        String topic = topic("listed-offsets", 1);
        TopicPartition p = new TopicPartition(topic, 0);
        try (KafkaProducer<String, String> plain = producer(Map.of())) {
            send(plain, topic, 0, "0");
            try (KafkaProducer<String, String> open = open("listed-offsets", topic)) {
                send(plain, topic, 0, "2");
                same("latest", 3L, offset(p, OffsetSpec.latest(), IsolationLevel.READ_UNCOMMITTED));
                same("latest stable", 1L, offset(p, OffsetSpec.latest(), IsolationLevel.READ_COMMITTED));
                same("earliest", 0L, offset(p, OffsetSpec.earliest(), IsolationLevel.READ_COMMITTED));
                same("of a time to come", -1L, offset(p, OffsetSpec.forTimestamp(System.currentTimeMillis() + 3_600_000), IsolationLevel.READ_UNCOMMITTED));
                open.abortTransaction();
                eventually("latest stable after the abort", 4L, () -> offset(p, OffsetSpec.latest(), IsolationLevel.READ_COMMITTED));
            }
        }
    }

    private void electLeaders() throws Exception {
        TopicPartition p = new TopicPartition(topic("elected", 1), 0);
        for (ElectionType type : ElectionType.values()) {
            refused(type + " of one", () -> {
                Optional<Throwable> error = admin.electLeaders(type, Set.of(p)).partitions().get().get(p);
                if (error.isPresent()) throw new Exception(error.get());
            }, ElectionNotNeededException.class);
            same(type + " of all", Map.of(), admin.electLeaders(type, null).partitions().get());
        }
        Map<TopicPartition, Optional<Throwable>> unknown =
                admin.electLeaders(ElectionType.PREFERRED, Set.of(new TopicPartition("nowhere", 0))).partitions().get();
        check(unknown.values().iterator().next().orElse(null) instanceof UnknownTopicOrPartitionException, "of an unknown topic", unknown);
    }

    private void reassign() throws Exception {
        String topic = topic("reassigned", 1);
        TopicPartition p = new TopicPartition(topic, 0);
        same("none at first", Map.of(), admin.listPartitionReassignments(Set.of(p)).reassignments().get());
        int broker = admin.describeCluster().nodes().get().iterator().next().id();
        admin.alterPartitionReassignments(Map.of(p, Optional.of(new NewPartitionReassignment(List.of(broker))))).all().get();
        eventually("done", Map.of(), () -> admin.listPartitionReassignments().reassignments().get());
        same("replicas", broker, admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic).partitions().get(0).replicas().get(0).id());
        refused("cancelling none", () -> admin.alterPartitionReassignments(Map.of(p, Optional.empty())).all().get(),
                NoReassignmentInProgressException.class);
        refused("of an unknown topic", () -> admin.alterPartitionReassignments(Map.of(
                new TopicPartition("nowhere", 0), Optional.of(new NewPartitionReassignment(List.of(broker))))).all().get(),
                UnknownTopicOrPartitionException.class);
    }
}
