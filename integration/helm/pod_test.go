package helm

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestPodsAreRestricted holds every pod to the profile "restricted" of the Pod Security Standards, and more: nothing is
// writable, and only brokers that ask for their zone have a token for the API server.
func TestPodsAreRestricted(t *testing.T) {
	t.Parallel()
	for _, name := range files(t) {
		for id, pod := range pods(objects(t, name)) {
			for key, want := range map[string]any{"runAsNonRoot": true, "runAsUser": 65532, "runAsGroup": 65532} {
				if got := pod.at("securityContext", key); got != want {
					t.Errorf("%s, %s: %s is %v, not %v", name, id, key, got, want)
				}
			}
			if got := pod.text("securityContext", "seccompProfile", "type"); got != "RuntimeDefault" {
				t.Errorf("%s, %s: seccomp profile %q", name, id, got)
			}
			if got := pod.at("enableServiceLinks"); got != false {
				t.Errorf("%s, %s: enableServiceLinks is %v: RUNNEL_PORT of a Service would be taken for a setting", name, id, got)
			}
			wantToken := strings.HasPrefix(id, "StatefulSet/") && (name == "minimal" || name == "production" || name == "external")
			if got := pod.at("automountServiceAccountToken"); got != wantToken {
				t.Errorf("%s, %s: automountServiceAccountToken is %v, not %v", name, id, got, wantToken)
			}
			for _, container := range slices.Concat(pod.list("initContainers"), pod.list("containers")) {
				got, _ := json.Marshal(container.at("securityContext"))
				if want := `{"allowPrivilegeEscalation":false,"capabilities":{"drop":["ALL"]},"readOnlyRootFilesystem":true}`; string(got) != want {
					t.Errorf("%s, %s, %s: %s", name, id, container.text("name"), got)
				}
			}
			for _, volume := range pod.list("volumes") {
				if volume.at("hostPath") != nil {
					t.Errorf("%s, %s: volume %s is the node's", name, id, volume.text("name"))
				}
			}
		}
	}
}

// pods are the specs of all pods that objects lead to.
func pods(all map[string]object) map[string]object {
	specs := make(map[string]object)
	for id, o := range all {
		for _, path := range [][]any{{"spec", "template", "spec"}, {"spec"}} {
			if spec, ok := o.at(path...).(map[string]any); ok && spec["containers"] != nil {
				specs[id] = spec
			}
		}
	}
	return specs
}

// TestSelectorsNeverChange compares what the API server lets nobody change in a StatefulSet, over values, and with what it
// was in the first version of the chart: an upgrade from that would fail.
func TestSelectorsNeverChange(t *testing.T) {
	t.Parallel()
	const first = `{"app.kubernetes.io/component":"broker","app.kubernetes.io/instance":"events","app.kubernetes.io/name":"runnel"}`
	for _, name := range files(t) {
		set, _ := broker(t, objects(t, name))
		if got, _ := json.Marshal(set.at("spec", "selector", "matchLabels")); string(got) != first {
			t.Errorf("%s: the selector is %s", name, got)
		}
		for path, want := range map[string]any{"serviceName": "events-runnel-brokers", "podManagementPolicy": "Parallel", "volumeClaimTemplates": nil} {
			if got := set.at("spec", path); got != want {
				t.Errorf("%s: %s is %v", name, path, got)
			}
		}
		labels, _ := set.at("spec", "template", "metadata", "labels").(map[string]any)
		selected, _ := set.at("spec", "selector", "matchLabels").(map[string]any)
		for key, want := range selected {
			if labels[key] != want {
				t.Errorf("%s: pods have %s=%v", name, key, labels[key])
			}
		}
		for id, o := range objects(t, name) {
			if strings.HasPrefix(id, "Service/") {
				if got := o.text("spec", "selector", "app.kubernetes.io/component"); got != "broker" {
					t.Errorf("%s, %s: selects component %q: tests and migrations are no brokers", name, id, got)
				}
			}
		}
	}
}

// TestPodsAreRestartedByWhatConcernsThem changes the configuration, and what brokers do not see.
func TestPodsAreRestartedByWhatConcernsThem(t *testing.T) {
	t.Parallel()
	template := func(set string) string {
		out, err := template(t, append(values("minimal"), "--set", set)...)
		if err != nil {
			t.Fatal(err)
		}
		o, _ := broker(t, parse(t, out))
		got, _ := json.Marshal(o.at("spec", "template"))
		return string(got)
	}
	before := template("replicas=3")
	if template("config.linger.max=100ms") == before {
		t.Error("a change of the configuration restarts nothing")
	}
	if template("replicas=5") != before || template("networkPolicy.enabled=false") != before {
		t.Error("what is no broker's business restarts them")
	}
}

// TestGraceIsLongerThanTheDrain looks at how long a broker may take to end.
func TestGraceIsLongerThanTheDrain(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]int{"minimal": 50, "production": 110} {
		_, pod := broker(t, objects(t, name))
		if got := pod.at("terminationGracePeriodSeconds"); got != want {
			t.Errorf("%s: %v s, not %d", name, got, want)
		}
		if got := pod.list("containers")[0].at("lifecycle", "preStop", "sleep", "seconds"); got != 5 {
			t.Errorf("%s: it begins to drain after %v s, while Services send it new clients", name, got)
		}
	}
	for set, want := range map[string]int{"--kube-version=1.29.0": 45, "--set=preStopSeconds=0": 45, "--set=preStopSeconds=20": 65} {
		out, err := template(t, append(values("minimal"), set)...)
		if err != nil {
			t.Fatal(err)
		}
		_, pod := broker(t, parse(t, out))
		before, _ := pod.list("containers")[0].at("lifecycle", "preStop", "sleep", "seconds").(int)
		if grace := pod.at("terminationGracePeriodSeconds"); grace != want || before != want-45 {
			t.Errorf("%s: %v s, of which %d before the drain", set, grace, before)
		}
	}
}

// TestContainersBeside looks for those of one's own, and that the broker stays the first.
func TestContainersBeside(t *testing.T) {
	t.Parallel()
	out, err := template(t, append(values("minimal"), "--set-json", `extraContainers=[{"name":"proxy","image":"p:1"}]`,
		"--set-json", `extraInitContainers=[{"name":"beside","image":"b:1","restartPolicy":"Always"}]`)...)
	if err != nil {
		t.Fatal(err)
	}
	_, pod := broker(t, parse(t, out))
	if c := pod.list("containers"); len(c) != 2 || c[0].text("name") != "runnel" || c[1].text("image") != "p:1" {
		t.Errorf("containers %s", marshal(pod.at("containers")))
	}
	if c := pod.list("initContainers"); len(c) != 1 || c[0].text("restartPolicy") != "Always" {
		t.Errorf("first %s", marshal(pod.at("initContainers")))
	}
}

// TestMemoryFollowsResources works out what is left beside the budgets.
func TestMemoryFollowsResources(t *testing.T) {
	t.Parallel()
	for limit, want := range map[string][4]string{
		"2Gi":        {"409MiB", "512MiB", "128MiB", "1843MiB"},
		"1Gi":        {"204MiB", "256MiB", "64MiB", "921MiB"},
		"1.5Gi":      {"307MiB", "384MiB", "96MiB", "1382MiB"},
		"8Gi":        {"1638MiB", "2048MiB", "192MiB", "7372MiB"},
		"4000M":      {"762MiB", "953MiB", "192MiB", "3432MiB"},
		"4294967296": {"819MiB", "1024MiB", "192MiB", "3686MiB"},
	} {
		out, err := template(t, append(values("minimal"), "--set", "resources.limits.memory="+limit)...)
		if err != nil {
			t.Fatal(err)
		}
		all := parse(t, out)
		c := configuration(t, all)
		_, pod := broker(t, all)
		got := [4]string{c.text("memory", "produce"), c.text("memory", "cache"), c.text("compaction", "memory"), env(pod)["GOMEMLIMIT"].text("value")}
		if got != want {
			t.Errorf("%s: %v, not %v", limit, got, want)
		}
	}
	if got := configuration(t, objects(t, "production")).text("memory", "cache"); got != "3GiB" {
		t.Errorf("memory.cache of config does not win: %s", got)
	}
	if got := configuration(t, objects(t, "single")).at("memory"); got != nil {
		t.Errorf("memory.derive is false, and memory is %v", got)
	}
}

// env are the variables of the first container.
func env(pod object) map[string]object {
	all := make(map[string]object)
	for _, e := range pod.list("containers", 0, "env") {
		all[e.text("name")] = e
	}
	return all
}

// TestWhereBrokersSayTheyAre looks at what clients and brokers are told.
func TestWhereBrokersSayTheyAre(t *testing.T) {
	t.Parallel()
	const own = "$(POD_NAME).events-runnel-brokers.streams.svc.cluster.local"
	for name, want := range map[string]map[string]string{
		"minimal":  {"RUNNEL_LISTENERS_INTERNAL_ADVERTISE": "$(POD_IP):9092", "RUNNEL_PEER_ADVERTISE": "$(POD_IP):9645", "RUNNEL_ZONE": "auto"},
		"single":   {"RUNNEL_LISTENERS_INTERNAL_ADVERTISE": "[$(POD_IP)]:9092", "RUNNEL_PEER_ADVERTISE": "[$(POD_IP)]:9645", "RUNNEL_ZONE": "rack-1"},
		"secure":   {"RUNNEL_LISTENERS_INTERNAL_ADVERTISE": own + ":9092", "RUNNEL_LISTENERS_MACHINES_ADVERTISE": own + ":9095", "RUNNEL_PEER_ADVERTISE": own + ":9645"},
		"external": {"RUNNEL_LISTENERS_INTERNAL_ADVERTISE": "$(POD_IP):9092", "RUNNEL_LISTENERS_EXTERNAL_ADVERTISE": "$(POD_NAME).kafka.example.com:9094"},
	} {
		_, pod := broker(t, objects(t, name))
		variables := env(pod)
		for key, value := range want {
			if got := variables[key].text("value"); got != value {
				t.Errorf("%s: %s is %q, not %q", name, key, got, value)
			}
		}
		order := slices.IndexFunc(pod.list("containers", 0, "env"), func(e object) bool { return strings.Contains(e.text("value"), "$(") })
		for _, source := range []string{"POD_NAME", "POD_IP", "NODE_NAME"} { // the kubelet expands what stands before alone
			at := slices.IndexFunc(pod.list("containers", 0, "env"), func(e object) bool { return e.text("name") == source })
			if at < 0 || at > order {
				t.Errorf("%s: %s stands at %d, and is used at %d", name, source, at, order)
			}
		}
	}
	_, pod := broker(t, objects(t, "secure"))
	if got := env(pod)["RUNNEL_ZONE"].text("valueFrom", "fieldRef", "fieldPath"); got != "metadata.labels['topology.kubernetes.io/zone']" {
		t.Errorf("the zone is of %q", got)
	}
}

// secretText finds what looks like the value of a secret that the files of values name.
var secretText = regexp.MustCompile(`(?i)password:|secret_key:|token:|secret: `)

// TestSecretsAreReferences looks into ConfigMaps for secrets, and for Secrets among what is rendered.
func TestSecretsAreReferences(t *testing.T) {
	t.Parallel()
	for _, name := range files(t) {
		for id, o := range objects(t, name) {
			if strings.HasPrefix(id, "Secret/") {
				t.Errorf("%s: %s is rendered", name, id)
			}
			if strings.HasPrefix(id, "ConfigMap/") {
				if found := secretText.FindString(fmt.Sprint(o.at("data"))); found != "" {
					t.Errorf("%s, %s: has %q", name, id, found)
				}
			}
		}
		for id, pod := range pods(objects(t, name)) {
			for key, e := range env(pod) {
				if secret := e.text("valueFrom", "secretKeyRef", "name"); secret != "" && key != "RUNNEL_METASTORE_URL" && key != "RUNNEL_OBJECT_STORE_ACCESS_KEY" {
					t.Errorf("%s, %s: %s is a variable, and could be a file", name, id, key)
				}
			}
		}
	}
}

// TestSettingsOfTheFile looks at values that YAML and Helm like to spoil.
func TestSettingsOfTheFile(t *testing.T) {
	t.Parallel()
	production, secure := configuration(t, objects(t, "production")), configuration(t, objects(t, "secure"))
	for key, want := range map[string]any{
		"num.partitions": 6, "auto.create.topics.enable": false, "log.cleaner.dedupe.buffer.size": 268435456, "log.retention.ms": -1,
		"log.cleaner.min.cleanable.ratio": 0.25,
	} {
		if got := production.at("cluster", key); got != want {
			t.Errorf("%s is %v (%T), not %v", key, got, got, want)
		}
	}
	if got := secure.at("authorizer"); got != "on" { // which YAML 1.1 takes for true
		t.Errorf("authorizer is %v (%T)", got, got)
	}
	listeners, _ := secure.at("listeners").(map[string]any)
	if got := slices.Sorted(maps.Keys(listeners)); !slices.Equal(got, []string{"internal", "machines"}) {
		t.Errorf("listeners are %v", got)
	}
}
