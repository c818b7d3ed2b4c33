package helm

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// marshal is what JSON says of something, with keys in order.
func marshal(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// TestWhoMayConnect reads the NetworkPolicy as the cluster would: who reaches which port.
func TestWhoMayConnect(t *testing.T) {
	t.Parallel()
	const brokers = `[{"podSelector":{"matchLabels":{"app.kubernetes.io/component":"broker","app.kubernetes.io/instance":"events","app.kubernetes.io/name":"runnel"}}}]`
	const test = `{"podSelector":{"matchLabels":{"app.kubernetes.io/component":"test","app.kubernetes.io/instance":"events"}}}`
	for name, want := range map[string]map[string]string{
		"minimal": {"internal": "null", "peer": brokers},
		"production": {
			"internal": `[{"namespaceSelector":{"matchLabels":{"kafka":"yes"}}},` + test + `]`, "peer": brokers,
			"admin": `[{"namespaceSelector":{"matchLabels":{"kubernetes.io/metadata.name":"monitoring"}}}]`,
		},
		"secure":   {"internal": "null", "machines": "null", "peer": brokers},
		"external": {"internal": "null", "external": `[{"ipBlock":{"cidr":"10.0.0.0/8"}}]`, "peer": brokers},
	} {
		policy := objects(t, name)["NetworkPolicy/events-runnel"]
		got := make(map[string]string)
		for _, rule := range policy.list("spec", "ingress") {
			for _, port := range rule.list("ports") {
				got[port.text("port")] = marshal(rule.at("from"))
			}
		}
		if marshal(got) != marshal(want) {
			t.Errorf("%s:\n%s\nnot\n%s", name, marshal(got), marshal(want))
		}
		_, pod := broker(t, objects(t, name))
		var ports []string
		for _, port := range pod.list("containers", 0, "ports") {
			ports = append(ports, port.text("name"))
		}
		for port := range got {
			if !slices.Contains(ports, port) {
				t.Errorf("%s: the policy is about a port %s that no pod has", name, port)
			}
		}
	}
	if _, ok := objects(t, "single")["NetworkPolicy/events-runnel"]; ok {
		t.Error("a policy is rendered although it is switched off")
	}
	egress := objects(t, "production")["NetworkPolicy/events-runnel"]
	if got := marshal(egress.at("spec", "policyTypes")); got != `["Ingress","Egress"]` || len(egress.list("spec", "egress")) != 4 {
		t.Errorf("%s of %s", got, marshal(egress.at("spec", "egress")))
	}
}

// TestRightsInTheCluster looks at what brokers may ask the API server: for nodes, if they need their labels, and nothing else.
func TestRightsInTheCluster(t *testing.T) {
	t.Parallel()
	for name, wanted := range map[string]bool{"minimal": true, "production": true, "external": true, "single": false, "secure": false} {
		all := objects(t, name)
		role, ok := all["ClusterRole/streams-events-runnel-zone"]
		if ok != wanted {
			t.Errorf("%s: there is a role: %v", name, ok)
			continue
		}
		if got := marshal(role.at("rules")); ok && got != `[{"apiGroups":[""],"resources":["nodes"],"verbs":["get"]}]` {
			t.Errorf("%s: %s", name, got)
		}
		_, pod := broker(t, all)
		account := pod.text("serviceAccountName")
		if _, made := all["ServiceAccount/"+account]; made == (name == "single") {
			t.Errorf("%s: account %s is rendered: %v", name, account, made)
		}
		if got := all["ClusterRoleBinding/streams-events-runnel-zone"].at("subjects", 0); ok && marshal(got) != fmt.Sprintf(`{"kind":"ServiceAccount","name":%q,"namespace":"streams"}`, account) {
			t.Errorf("%s: bound to %s", name, marshal(got))
		}
	}
	if got := objects(t, "production")["ServiceAccount/events-runnel"].text("metadata", "annotations", "eks.amazonaws.com/role-arn"); got == "" {
		t.Error("the account has no role of AWS")
	}
}

// TestServices looks at the names by which brokers are reached.
func TestServices(t *testing.T) {
	t.Parallel()
	all := objects(t, "external")
	for _, pod := range []string{"events-runnel-0", "events-runnel-1"} {
		service := all["Service/"+pod]
		if got := service.text("spec", "selector", "statefulset.kubernetes.io/pod-name"); got != pod {
			t.Errorf("%s selects %q", pod, got)
		}
		if got := service.text("metadata", "annotations", "external-dns.alpha.kubernetes.io/hostname"); got != pod+".kafka.example.com" {
			t.Errorf("%s is called %q, and says it is %s.kafka.example.com", pod, got, pod)
		}
		if got := service.text("spec", "type"); got != "LoadBalancer" {
			t.Errorf("%s is a %s", pod, got)
		}
	}
	if got := all["Service/events-runnel-bootstrap"]; got.at("spec", "selector", "statefulset.kubernetes.io/pod-name") != nil ||
		got.text("metadata", "annotations", "external-dns.alpha.kubernetes.io/hostname") != "bootstrap.kafka.example.com" {
		t.Errorf("the Service for all is %s", marshal(got))
	}
	count := 0
	for id := range all {
		if strings.HasPrefix(id, "Service/") {
			count++
		}
	}
	if count != 5 {
		t.Errorf("%d Services", count)
	}
	brokers := all["Service/events-runnel-brokers"]
	if brokers.at("spec", "clusterIP") != "None" || brokers.at("spec", "publishNotReadyAddresses") != true {
		t.Errorf("the Service of single brokers is %s", marshal(brokers.at("spec")))
	}

	for version, want := range map[string]any{"1.30.0": nil, "1.31.0": "PreferClose", newest: "PreferClose", "1.31.1-gke.100": "PreferClose"} {
		out, err := template(t, append(values("minimal"), "--kube-version", version)...)
		if err != nil {
			t.Fatal(err)
		}
		if got := parse(t, out)["Service/events-runnel"].at("spec", "trafficDistribution"); got != want {
			t.Errorf("Kubernetes %s: trafficDistribution is %v", version, got)
		}
	}
}

// TestScaling looks at who says how many brokers there are, and how fast they may go.
func TestScaling(t *testing.T) {
	t.Parallel()
	set, pod := broker(t, objects(t, "production"))
	if got := set.at("spec", "replicas"); got != nil {
		t.Errorf("each upgrade would set the number of brokers to %v, whatever the scaler has made it", got)
	}
	scaler := objects(t, "production")["HorizontalPodAutoscaler/events-runnel"]
	if got := marshal(scaler.at("spec", "scaleTargetRef")); got != `{"apiVersion":"apps/v1","kind":"StatefulSet","name":"events-runnel"}` {
		t.Errorf("it scales %s", got)
	}
	down := scaler.list("spec", "behavior", "scaleDown", "policies")
	if len(down) != 1 || down[0].at("value") != 1 {
		t.Fatalf("brokers go by %s", marshal(down))
	}
	if period, grace := down[0].at("periodSeconds").(int), pod.at("terminationGracePeriodSeconds").(int); period < grace {
		t.Errorf("the next broker may go after %d s, while one takes up to %d", period, grace)
	}
	if set, _ := broker(t, objects(t, "minimal")); set.at("spec", "replicas") != 3 {
		t.Errorf("%v brokers", set.at("spec", "replicas"))
	}
	budget := objects(t, "minimal")["PodDisruptionBudget/events-runnel"]
	if budget.at("spec", "maxUnavailable") != 1 || budget.at("spec", "unhealthyPodEvictionPolicy") != "AlwaysAllow" {
		t.Errorf("the budget is %s", marshal(budget.at("spec")))
	}
}

// TestMonitoring looks at how Prometheus gets in.
func TestMonitoring(t *testing.T) {
	t.Parallel()
	all := objects(t, "production")
	monitor := all["ServiceMonitor/events-runnel"]
	const want = `{"authorization":{"credentials":{"key":"token","name":"metrics"},"type":"Bearer"},"interval":"30s","path":"/metrics","port":"admin",` +
		`"scheme":"https","scrapeTimeout":"10s","tlsConfig":{"ca":{"secret":{"key":"ca.crt","name":"admin-tls"}},"serverName":"events-runnel.streams.svc.cluster.local"}}`
	if got := marshal(monitor.at("spec", "endpoints", 0)); got != want {
		t.Errorf("%s\nnot\n%s", got, want)
	}
	found := 0
	for id, o := range all {
		labels, _ := o.at("metadata", "labels").(map[string]any)
		matches := strings.HasPrefix(id, "Service/")
		for key, value := range monitor.at("spec", "selector", "matchLabels").(map[string]any) {
			matches = matches && labels[key] == value
		}
		if matches {
			found++
		}
	}
	if found != 1 {
		t.Errorf("it selects %d Services: each broker would be asked as often", found)
	}
	_, pod := broker(t, all)
	for _, probe := range []string{"startupProbe", "livenessProbe", "readinessProbe"} {
		if got := marshal(pod.at("containers", 0, probe, "httpGet", "scheme")); got != `"HTTPS"` {
			t.Errorf("%s speaks %s", probe, got)
		}
	}
	// Without the operator's API nothing of it is rendered.
	out, err := template(t, "--values", "testdata/production.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := parse(t, out)["ServiceMonitor/events-runnel"]; ok {
		t.Error("a ServiceMonitor is rendered for a cluster that does not know it")
	}
}

// TestMigrations looks at who makes the tables.
func TestMigrations(t *testing.T) {
	t.Parallel()
	_, pod := broker(t, objects(t, "minimal"))
	if got := env(pod)["RUNNEL_MIGRATE"].text("value"); got != "auto" {
		t.Errorf("RUNNEL_MIGRATE is %q", got)
	}
	_, pod = broker(t, objects(t, "production"))
	if _, ok := env(pod)["RUNNEL_MIGRATE"]; ok {
		t.Error("brokers migrate beside the Job")
	}
	job := objects(t, "production")["Job/events-runnel-migrate"]
	if got := job.text("metadata", "annotations", "helm.sh/hook"); got != "pre-install,pre-upgrade" {
		t.Errorf("it is a hook of %q", got)
	}
	// What it uses must be there before the chart is.
	all, spec := objects(t, "production"), pods(objects(t, "production"))["Job/events-runnel-migrate"]
	if _, made := all["ServiceAccount/"+spec.text("serviceAccountName")]; made {
		t.Errorf("it runs as %s, which is made after it", spec.text("serviceAccountName"))
	}
	if got := env(spec); got["RUNNEL_METASTORE_URL"].text("value") != "postgres://owner@db.example.com/runnel" ||
		got["RUNNEL_METASTORE_PASSWORD_FILE"].text("value") != "/etc/runnel/metastore/password" {
		t.Errorf("it logs in by %s", marshal(got))
	}
	if got := spec.at("volumes", 0, "projected", "sources", 0, "secret", "name"); got != "db-owner" {
		t.Errorf("its password is that of %v", got)
	}
	for _, volume := range spec.list("volumes") {
		if _, made := all["ConfigMap/"+volume.text("configMap", "name")]; made {
			t.Errorf("it mounts %s, which is made after it", volume.text("configMap", "name"))
		}
	}
	if _, ok := objects(t, "minimal")["Job/events-runnel-migrate"]; ok {
		t.Error("a Job is rendered although brokers migrate")
	}
}
