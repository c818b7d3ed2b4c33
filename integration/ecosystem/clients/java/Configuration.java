import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ExecutionException;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.AlterConfigOp.OpType;
import org.apache.kafka.clients.admin.AlterConfigsOptions;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.ConfigEntry.ConfigSource;
import org.apache.kafka.clients.admin.ConfigEntry.ConfigSynonym;
import org.apache.kafka.clients.admin.DescribeConfigsOptions;
import org.apache.kafka.clients.admin.ListConfigResourcesOptions;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.config.ConfigResource.Type;
import org.apache.kafka.common.errors.InvalidConfigurationException;
import org.apache.kafka.common.errors.InvalidRequestException;
import org.apache.kafka.common.errors.RecordTooLargeException;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;

/** What the Java administrator sets and is told of configurations: Configuration BOOTSTRAP. */
public final class Configuration extends Scenarios {
    private static final ConfigResource CLUSTER = new ConfigResource(Type.BROKER, "");

    private Configuration(String bootstrap) {
        super(bootstrap);
        add("configs of a topic", this::topicConfigs);
        add("lists in configs of a topic", this::lists);
        add("bad configs change nothing", this::bad);
        add("an accepted config is obeyed", this::obeyed);
        add("the default of the cluster", this::clusterDefault);
        add("the config of a broker", this::brokerConfig);
        add("resources with configs are listed", this::resources);
    }

    public static void main(String[] args) throws Exception {
        new Configuration(args[0]).runAll();
    }

    private static AlterConfigOp op(OpType type, String name, String value) {
        return new AlterConfigOp(new ConfigEntry(name, value), type);
    }

    private void alter(ConfigResource resource, AlterConfigOp... ops) throws Exception {
        admin.incrementalAlterConfigs(Map.of(resource, List.of(ops))).all().get();
    }

    private ConfigEntry get(ConfigResource resource, String name) throws Exception {
        return admin.describeConfigs(List.of(resource), new DescribeConfigsOptions().includeSynonyms(true)).all().get().get(resource).get(name);
    }

    private void is(ConfigResource resource, String name, String value, ConfigSource source) throws Exception {
        eventually(name + " of " + resource, value + " from " + source, () -> {
            ConfigEntry e = get(resource, name);
            return e == null ? null : e.value() + " from " + e.source();
        });
    }

    private Set<String> set(ConfigResource topic) throws Exception {
        Collection<ConfigEntry> all = admin.describeConfigs(List.of(topic)).all().get().get(topic).entries();
        return all.stream().filter(e -> e.source() == ConfigSource.DYNAMIC_TOPIC_CONFIG).map(ConfigEntry::name).collect(Collectors.toSet());
    }

    private void topicConfigs() throws Exception {
        ConfigResource topic = new ConfigResource(Type.TOPIC, topic("configs", 1, Map.of("retention.bytes", "1000000")));
        same("set at first", Set.of("retention.bytes"), set(topic));
        is(topic, "max.message.bytes", "1048588", ConfigSource.DEFAULT_CONFIG);
        check(get(topic, "max.message.bytes").isDefault(), "it is the default", get(topic, "max.message.bytes"));
        alter(topic, op(OpType.SET, "max.message.bytes", "2000"), op(OpType.DELETE, "retention.bytes", null));
        is(topic, "max.message.bytes", "2000", ConfigSource.DYNAMIC_TOPIC_CONFIG);
        same("type", ConfigEntry.ConfigType.INT, get(topic, "max.message.bytes").type());
        same("set now", Set.of("max.message.bytes"), set(topic));
        List<ConfigSynonym> synonyms = get(topic, "max.message.bytes").synonyms();
        same("first synonym", ConfigSource.DYNAMIC_TOPIC_CONFIG, synonyms.get(0).source());
        same("last synonym", "message.max.bytes=1048588 " + ConfigSource.DEFAULT_CONFIG, text(synonyms.get(synonyms.size() - 1)));
        alter(topic, op(OpType.DELETE, "max.message.bytes", null));
        is(topic, "max.message.bytes", "1048588", ConfigSource.DEFAULT_CONFIG);
        same("set at last", Set.of(), set(topic));
    }

    private static String text(ConfigSynonym s) {
        return s.name() + "=" + s.value() + " " + s.source();
    }

    private void lists() throws Exception {
        ConfigResource topic = new ConfigResource(Type.TOPIC, topic("lists", 1));
        alter(topic, op(OpType.APPEND, "cleanup.policy", "compact"));
        is(topic, "cleanup.policy", "delete,compact", ConfigSource.DYNAMIC_TOPIC_CONFIG);
        alter(topic, op(OpType.SUBTRACT, "cleanup.policy", "delete"));
        is(topic, "cleanup.policy", "compact", ConfigSource.DYNAMIC_TOPIC_CONFIG);
        refused("adding to what is no list", () -> alter(topic, op(OpType.APPEND, "retention.ms", "1")), InvalidConfigurationException.class, InvalidRequestException.class);
    }

    private void bad() throws Exception {
        ConfigResource topic = new ConfigResource(Type.TOPIC, topic("bad", 1));
        refused("no number", () -> alter(topic, op(OpType.SET, "retention.bytes", "5000"), op(OpType.SET, "retention.ms", "soon")),
                InvalidConfigurationException.class);
        refused("unknown", () -> alter(topic, op(OpType.SET, "no.such.config", "1")), InvalidConfigurationException.class);
        refused("twice", () -> alter(topic, op(OpType.SET, "retention.ms", "1000"), op(OpType.SET, "retention.ms", "2000")), InvalidRequestException.class);
        refused("of no topic", () -> alter(new ConfigResource(Type.TOPIC, "nowhere"), op(OpType.SET, "retention.ms", "1000")),
                UnknownTopicOrPartitionException.class);
        refused("describing no topic", () -> get(new ConfigResource(Type.TOPIC, "nowhere"), "retention.ms"), UnknownTopicOrPartitionException.class);
        admin.incrementalAlterConfigs(Map.of(topic, List.of(op(OpType.SET, "retention.ms", "1000"))), new AlterConfigsOptions().validateOnly(true)).all().get();
        same("set", Set.of(), set(topic));
    }

    private void obeyed() throws Exception {
        String name = topic("obeyed", 1);
        ConfigResource topic = new ConfigResource(Type.TOPIC, name);
        try (KafkaProducer<String, String> producer = producer(Map.of())) {
            send(producer, name, 0, "x".repeat(5000));
            alter(topic, op(OpType.SET, "max.message.bytes", "2000"));
            eventually("a record above the limit is refused", true, () -> {
                try {
                    send(producer, name, 0, "x".repeat(5000));
                    return false;
                } catch (ExecutionException e) {
                    return e.getCause() instanceof RecordTooLargeException;
                }
            });
            send(producer, name, 0, "x".repeat(1000));
            alter(topic, op(OpType.DELETE, "max.message.bytes", null));
            eventually("and accepted after it was lifted", true, () -> {
                try {
                    send(producer, name, 0, "x".repeat(5000));
                    return true;
                } catch (ExecutionException e) {
                    return false;
                }
            });
        }
    }

    private void clusterDefault() throws Exception {
        ConfigResource topic = new ConfigResource(Type.TOPIC, topic("of-cluster", 1));
        ConfigResource other = new ConfigResource(Type.TOPIC, topic("with-its-own", 1, Map.of("retention.ms", "7000000")));
        String before = get(topic, "retention.ms").value();
        alter(CLUSTER, op(OpType.SET, "log.retention.ms", "3600000"));
        is(CLUSTER, "log.retention.ms", "3600000", ConfigSource.DYNAMIC_DEFAULT_BROKER_CONFIG);
        is(topic, "retention.ms", "3600000", ConfigSource.DYNAMIC_DEFAULT_BROKER_CONFIG);
        is(other, "retention.ms", "7000000", ConfigSource.DYNAMIC_TOPIC_CONFIG);
        same("set by the topic", Set.of(), set(topic));
        alter(CLUSTER, op(OpType.DELETE, "log.retention.ms", null));
        eventually("after it was taken back", before, () -> get(topic, "retention.ms").value());
        check(get(CLUSTER, "log.retention.ms") == null, "nothing is left", get(CLUSTER, "log.retention.ms"));
        refused("no number", () -> alter(CLUSTER, op(OpType.SET, "log.retention.ms", "soon")), InvalidConfigurationException.class, InvalidRequestException.class);
    }

    private void brokerConfig() throws Exception {
        String id = String.valueOf(admin.describeCluster().nodes().get().iterator().next().id());
        ConfigResource broker = new ConfigResource(Type.BROKER, id);
        String before = get(broker, "log.retention.bytes").value();
        check(get(broker, "advertised.listeners") != null, "the listeners are told", null);
        alter(CLUSTER, op(OpType.SET, "log.retention.bytes", "2000000"));
        is(broker, "log.retention.bytes", "2000000", ConfigSource.DYNAMIC_DEFAULT_BROKER_CONFIG);
        alter(broker, op(OpType.SET, "log.retention.bytes", "3000000"));
        is(broker, "log.retention.bytes", "3000000", ConfigSource.DYNAMIC_BROKER_CONFIG);
        List<String> synonyms = get(broker, "log.retention.bytes").synonyms().stream().map(Configuration::text).toList();
        same("synonyms", List.of("log.retention.bytes=3000000 DYNAMIC_BROKER_CONFIG", "log.retention.bytes=2000000 DYNAMIC_DEFAULT_BROKER_CONFIG",
                "log.retention.bytes=-1 DEFAULT_CONFIG"), synonyms);
        alter(broker, op(OpType.DELETE, "log.retention.bytes", null));
        is(broker, "log.retention.bytes", "2000000", ConfigSource.DYNAMIC_DEFAULT_BROKER_CONFIG);
        alter(CLUSTER, op(OpType.DELETE, "log.retention.bytes", null));
        eventually("after it was taken back", before, () -> get(broker, "log.retention.bytes").value());
        refused("a config that only a start reads", () -> alter(broker, op(OpType.SET, "node.id", "7")),
                InvalidConfigurationException.class, InvalidRequestException.class);
    }

    private void resources() throws Exception {
        String topic = topic("listed-resource", 1);
        Collection<ConfigResource> topics = admin.listConfigResources(Set.of(Type.TOPIC), new ListConfigResourcesOptions()).all().get();
        contains("resources", topics, new ConfigResource(Type.TOPIC, topic));
        int brokers = admin.describeCluster().nodes().get().size();
        long listed = admin.listConfigResources(Set.of(Type.BROKER), new ListConfigResourcesOptions()).all().get()
                .stream().filter(r -> r.type() == Type.BROKER && !r.name().isEmpty()).count();
        same("brokers", (long) brokers, listed);
    }
}
