import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Properties;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.DeleteAclsResult.FilterResult;
import org.apache.kafka.clients.admin.DescribeClusterOptions;
import org.apache.kafka.clients.admin.DescribeConsumerGroupsOptions;
import org.apache.kafka.clients.admin.DescribeTopicsOptions;
import org.apache.kafka.common.KafkaFuture;
import org.apache.kafka.common.acl.AccessControlEntry;
import org.apache.kafka.common.acl.AccessControlEntryFilter;
import org.apache.kafka.common.acl.AclBinding;
import org.apache.kafka.common.acl.AclBindingFilter;
import org.apache.kafka.common.acl.AclOperation;
import org.apache.kafka.common.acl.AclPermissionType;
import org.apache.kafka.common.resource.PatternType;
import org.apache.kafka.common.resource.ResourcePattern;
import org.apache.kafka.common.resource.ResourcePatternFilter;
import org.apache.kafka.common.resource.ResourceType;

/**
 * The administrator's calls about access rules, all those of a request with one client. Each answer is a list of texts under
 * the name of the call: rules as "TOPIC:PREFIXED:orders-|ALLOW READ * User:alice", in order, or the class of an error.
 */
final class Acls {
    private Acls() {}

    static void answer(JsonNode request, Properties config, ObjectNode answer) throws Exception {
        ObjectNode lists = answer.putObject("lists");
        try (Admin admin = Admin.create(config)) {
            if (request.has("create")) {
                List<AclBinding> bindings = new ArrayList<>();
                request.get("create").forEach(r -> bindings.add(binding(r)));
                var results = admin.createAcls(bindings).values();
                ArrayNode list = lists.putArray("create");
                for (AclBinding b : bindings) {
                    list.add(outcome(results.get(b), () -> "made"));
                }
            }
            if (request.has("describe")) {
                var found = admin.describeAcls(filter(request.get("describe"))).values();
                put(lists.putArray("describe"), found, Acls::texts);
            }
            if (request.has("delete")) {
                List<AclBindingFilter> filters = new ArrayList<>();
                request.get("delete").forEach(f -> filters.add(filter(f)));
                var results = admin.deleteAcls(filters).values();
                for (int i = 0; i < filters.size(); i++) {
                    put(lists.putArray("delete " + i), results.get(filters.get(i)), deleted -> {
                        List<AclBinding> bindings = new ArrayList<>();
                        for (FilterResult r : deleted.values()) {
                            if (r.exception() != null) throw r.exception();
                            bindings.add(r.binding());
                        }
                        return texts(bindings);
                    });
                }
            }
            if (request.has("topic")) {
                String topic = request.get("topic").asText();
                var options = new DescribeTopicsOptions().includeAuthorizedOperations(true);
                put(lists.putArray("topic"), admin.describeTopics(List.of(topic), options).topicNameValues().get(topic), t -> names(t.authorizedOperations()));
            }
            if (request.has("group")) {
                String group = request.get("group").asText();
                var options = new DescribeConsumerGroupsOptions().includeAuthorizedOperations(true);
                put(lists.putArray("group"), admin.describeConsumerGroups(List.of(group), options).describedGroups().get(group), g -> names(g.authorizedOperations()));
            }
            if (request.has("cluster")) {
                var options = new DescribeClusterOptions().includeAuthorizedOperations(true);
                put(lists.putArray("cluster"), admin.describeCluster(options).authorizedOperations(), Acls::names);
            }
        }
    }

    private interface Texts<T> {
        List<String> of(T value);
    }

    private static <T> void put(ArrayNode list, KafkaFuture<T> future, Texts<T> texts) throws Exception {
        try {
            texts.of(future.get(30, TimeUnit.SECONDS)).forEach(list::add);
        } catch (ExecutionException e) {
            list.add(e.getCause().getClass().getSimpleName());
        }
    }

    private static String outcome(KafkaFuture<?> future, Callable<String> good) throws Exception {
        try {
            future.get(30, TimeUnit.SECONDS);
            return good.call();
        } catch (ExecutionException e) {
            return e.getCause().getClass().getSimpleName();
        }
    }

    private static List<String> names(Set<AclOperation> operations) {
        return operations == null ? List.of("null") : operations.stream().map(Enum::name).sorted().toList();
    }

    private static List<String> texts(Collection<AclBinding> bindings) {
        return bindings.stream()
                .map(b -> b.pattern().resourceType() + ":" + b.pattern().patternType() + ":" + b.pattern().name() + "|" + b.entry().permissionType() + " "
                        + b.entry().operation() + " " + b.entry().host() + " " + b.entry().principal())
                .sorted()
                .toList();
    }

    private static AclBinding binding(JsonNode r) {
        return new AclBinding(
                new ResourcePattern(
                        ResourceType.fromString(r.get("type").asText()), r.get("name").asText(), PatternType.fromString(r.get("pattern").asText())),
                new AccessControlEntry(
                        r.get("principal").asText(), r.get("host").asText(), AclOperation.fromString(r.get("operation").asText()),
                        AclPermissionType.fromString(r.get("permission").asText())));
    }

    /** What is not said is any. */
    private static AclBindingFilter filter(JsonNode f) {
        return new AclBindingFilter(
                new ResourcePatternFilter(
                        ResourceType.fromString(f.path("type").asText("ANY")), text(f, "name"), PatternType.fromString(f.path("pattern").asText("ANY"))),
                new AccessControlEntryFilter(
                        text(f, "principal"), text(f, "host"), AclOperation.fromString(f.path("operation").asText("ANY")),
                        AclPermissionType.fromString(f.path("permission").asText("ANY"))));
    }

    private static String text(JsonNode f, String name) {
        return f.has(name) ? f.get(name).asText() : null;
    }
}
