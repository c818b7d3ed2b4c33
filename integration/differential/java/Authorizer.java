import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.net.InetAddress;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.acl.AccessControlEntry;
import org.apache.kafka.common.acl.AccessControlEntryFilter;
import org.apache.kafka.common.acl.AclBinding;
import org.apache.kafka.common.acl.AclBindingFilter;
import org.apache.kafka.common.acl.AclOperation;
import org.apache.kafka.common.acl.AclPermissionType;
import org.apache.kafka.common.metrics.Metrics;
import org.apache.kafka.common.metrics.internals.PluginMetricsImpl;
import org.apache.kafka.common.resource.PatternType;
import org.apache.kafka.common.resource.ResourcePattern;
import org.apache.kafka.common.resource.ResourcePatternFilter;
import org.apache.kafka.common.resource.ResourceType;
import org.apache.kafka.common.security.auth.KafkaPrincipal;
import org.apache.kafka.common.security.auth.SecurityProtocol;
import org.apache.kafka.controller.AclControlManager;
import org.apache.kafka.metadata.authorizer.StandardAcl;
import org.apache.kafka.metadata.authorizer.StandardAuthorizer;
import org.apache.kafka.server.authorizer.Action;
import org.apache.kafka.server.authorizer.AuthorizableRequestContext;
import org.apache.kafka.server.authorizer.AuthorizationResult;

/** Answers questions to Kafka's authorizer, a line each, in fields between tabs. The Go side says what they are. */
public final class Authorizer {
    private record Client(KafkaPrincipal principal, InetAddress clientAddress) implements AuthorizableRequestContext {
        @Override
        public String listenerName() {
            return "PLAINTEXT";
        }

        @Override
        public SecurityProtocol securityProtocol() {
            return SecurityProtocol.PLAINTEXT;
        }

        @Override
        public int requestType() {
            return 0;
        }

        @Override
        public int requestVersion() {
            return 0;
        }

        @Override
        public String clientId() {
            return "";
        }

        @Override
        public int correlationId() {
            return 0;
        }
    }

    private StandardAuthorizer authorizer = new StandardAuthorizer();
    private final Map<Uuid, StandardAcl> rules = new HashMap<>();
    private final Map<StandardAcl, Integer> numbers = new HashMap<>();

    public static void main(String[] args) throws IOException, ReflectiveOperationException {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        PrintStream out = new PrintStream(System.out, false, StandardCharsets.UTF_8);
        Authorizer a = new Authorizer();
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            String answer = a.answer(line.split("\t", -1));
            if (answer != null) {
                out.println(answer);
            }
        }
        out.flush();
    }

    private String answer(String[] f) throws IOException, ReflectiveOperationException {
        switch (f[0]) {
            case "policy":
                authorizer = new StandardAuthorizer();
                authorizer.withPluginMetrics(new PluginMetricsImpl(new Metrics(), Map.of())); // it does not work without
                authorizer.configure(Map.of("super.users", f[1], "allow.everyone.if.no.acl.found", f[2]));
                rules.clear();
                numbers.clear();
                return null;
            case "rule":
                StandardAcl acl = StandardAcl.fromAclBinding(binding(f));
                if (numbers.putIfAbsent(acl, numbers.size()) == null) {
                    rules.put(Uuid.randomUuid(), acl);
                }
                return null;
            case "load":
                authorizer.loadSnapshot(rules);
                authorizer.completeInitialLoad();
                return null;
            case "valid":
                return valid(f) ? "1" : "0";
            case "filter":
                return picked(f);
            default:
                return allowed(f);
        }
    }

    private static AclBinding binding(String[] f) {
        return new AclBinding(
                new ResourcePattern(type(f[1]), f[3], PatternType.fromCode(Byte.parseByte(f[2]))),
                new AccessControlEntry(f[4], f[5], operation(f[6]), AclPermissionType.fromCode(Byte.parseByte(f[7]))));
    }

    private static ResourceType type(String code) {
        return ResourceType.fromCode(Byte.parseByte(code));
    }

    private static AclOperation operation(String code) {
        return AclOperation.fromCode(Byte.parseByte(code));
    }

    private static boolean valid(String[] f) throws ReflectiveOperationException {
        Method validate = AclControlManager.class.getDeclaredMethod("validateNewAcl", AclBinding.class);
        validate.setAccessible(true);
        try {
            validate.invoke(null, binding(f));
            return true;
        } catch (IllegalArgumentException | InvocationTargetException e) { // codes of filters make no binding
            return false;
        }
    }

    /** The numbers of the rules that a filter picks; ~ is null. */
    private String picked(String[] f) {
        AclBindingFilter filter = new AclBindingFilter(
                new ResourcePatternFilter(type(f[1]), orNull(f[3]), PatternType.fromCode(Byte.parseByte(f[2]))),
                new AccessControlEntryFilter(orNull(f[4]), orNull(f[5]), operation(f[6]), AclPermissionType.fromCode(Byte.parseByte(f[7]))));
        TreeSet<Integer> picked = new TreeSet<>();
        for (AclBinding binding : authorizer.acls(filter)) {
            picked.add(numbers.get(StandardAcl.fromAclBinding(binding)));
        }
        return picked.toString();
    }

    private static String orNull(String s) {
        return s.equals("~") ? null : s;
    }

    /** Whether a client may do something on a resource, and on any of its type. */
    private String allowed(String[] f) throws IOException {
        String[] principal = f[1].split(":", 2);
        Client who = new Client(new KafkaPrincipal(principal[0], principal[1]), InetAddress.getByName(f[2]));
        Action action = new Action(operation(f[3]), new ResourcePattern(type(f[4]), f[5], PatternType.LITERAL), 1, true, true);
        boolean here = authorizer.authorize(who, List.of(action)).get(0) == AuthorizationResult.ALLOWED;
        boolean anywhere = authorizer.authorizeByResourceType(who, operation(f[3]), type(f[4])) == AuthorizationResult.ALLOWED;
        return (here ? "1" : "0") + (anywhere ? "1" : "0");
    }
}
