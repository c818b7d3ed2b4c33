package helm

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/runnel-io/runnel/integration/harness"
)

// configuration is the parsed runnel.yaml of a rendered chart.
func configuration(t testing.TB, all map[string]object) object {
	t.Helper()
	var c map[string]any
	if err := yaml.Unmarshal([]byte(all["ConfigMap/events-runnel"].text("data", "runnel.yaml")), &c); err != nil {
		t.Fatal(err)
	}
	return c
}

// machine plays the kubelet for a container: the files of its volumes lie in a directory of this machine, and what it says
// of paths is read so.
type machine struct {
	root   string
	of     map[string]string // texts of Secrets by name and key, "name/key"
	fields map[string]string // of the downward API
}

// newMachine writes the files that a pod of a rendered chart mounts. Secrets that the map does not have get some text.
func newMachine(t testing.TB, all map[string]object, pod object, secrets map[string]string) *machine {
	t.Helper()
	m := &machine{root: t.TempDir(), of: secrets, fields: map[string]string{
		"metadata.name": "events-runnel-0", "status.podIP": "10.1.2.3", "spec.nodeName": "node-1", "metadata.labels['topology.kubernetes.io/zone']": "zone-1",
	}}
	volumes := make(map[string]object)
	for _, v := range pod.list("volumes") {
		volumes[v.text("name")] = v
	}
	for _, container := range append(pod.list("initContainers"), pod.list("containers")...) {
		for _, mount := range container.list("volumeMounts") {
			volume, ok := volumes[mount.text("name")]
			if !ok {
				t.Fatalf("%s mounts %s, which is no volume", container.text("name"), mount.text("name"))
			}
			for name, text := range m.files(all, volume) {
				m.write(t, path.Join(mount.text("mountPath"), name), text)
			}
		}
	}
	return m
}

// files are what a volume has.
func (m *machine) files(all map[string]object, volume object) map[string]string {
	files := make(map[string]string)
	if name := volume.text("configMap", "name"); name != "" {
		data, _ := all["ConfigMap/"+name].at("data").(map[string]any)
		for key, text := range data {
			files[key], _ = text.(string)
		}
	}
	for _, source := range volume.list("projected", "sources") {
		items := source.list("secret", "items")
		for _, item := range items {
			files[item.text("path")] = m.secret(source.text("secret", "name"), item.text("key"))
		}
		if len(items) == 0 { // that of a certificate, as cert-manager makes it
			for _, key := range []string{"tls.crt", "tls.key", "ca.crt"} {
				files[key] = m.secret(source.text("secret", "name"), key)
			}
		}
	}
	return files
}

func (m *machine) secret(name, key string) string {
	if text, ok := m.of[name+"/"+key]; ok {
		return text
	}
	return "secret-of-" + name + "-" + key
}

func (m *machine) write(t testing.TB, name, text string) {
	t.Helper()
	at := filepath.Join(m.root, name)
	if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
		t.Fatal(err)
	}
	// Only that of brokers has paths in it.
	if err := os.WriteFile(at, []byte(strings.ReplaceAll(text, "/etc/runnel/", m.root+"/etc/runnel/")), 0o600); err != nil {
		t.Fatal(err)
	}
}

var reference = regexp.MustCompile(`\$\([A-Z_]+\)`)

// env is a container's environment. As the kubelet does, it expands what stands before.
func (m *machine) env(container object) []string {
	values := make(map[string]string)
	var env []string
	for _, e := range container.list("env") {
		value := reference.ReplaceAllStringFunc(e.text("value"), func(ref string) string {
			if v, ok := values[ref[2:len(ref)-1]]; ok {
				return v
			}
			return ref
		})
		if field := e.text("valueFrom", "fieldRef", "fieldPath"); field != "" {
			value = m.fields[field]
		}
		if secret := e.text("valueFrom", "secretKeyRef", "name"); secret != "" {
			value = m.secret(secret, e.text("valueFrom", "secretKeyRef", "key"))
		}
		values[e.text("name")] = value
		env = append(env, e.text("name")+"="+m.path(value))
	}
	return env
}

// path is a path in the container, or a text, as this machine has it.
func (m *machine) path(text string) string {
	for _, prefix := range []string{"/etc/runnel/", "/test/"} {
		if strings.HasPrefix(text, prefix) {
			return m.root + text
		}
	}
	return text
}

func (m *machine) args(container object) []string {
	list, _ := container.at("args").([]any)
	var args []string
	for _, arg := range list {
		text, _ := arg.(string)
		args = append(args, m.path(text))
	}
	return args
}

// run runs the real binary with other arguments than a container's, but its files and environment.
func (m *machine) run(t testing.TB, container object, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	cmd := exec.CommandContext(harness.Soon(t), harness.Binary(t), args...)
	cmd.Env = m.env(container)
	var out, problems bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problems
	err = cmd.Run()
	return out.String(), problems.String(), err
}

// migrates tells whether the binary makes tables by itself: the chart is ahead of one that does not.
func migrates(t testing.TB) bool {
	t.Helper()
	out, err := exec.CommandContext(harness.Soon(t), harness.Binary(t), "broker", "--help").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return bytes.Contains(out, []byte("--migrate"))
}

// TestTheConfigurationIsRight lets the real binary check what brokers would get: the file of the ConfigMap, the Secrets where
// they are mounted, and the environment.
func TestTheConfigurationIsRight(t *testing.T) {
	t.Parallel()
	secrets := map[string]string{"events-db-app/uri": "postgres://runnel:hunter2@db/runnel"}
	for _, name := range files(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			all := objects(t, name)
			_, pod := broker(t, all)
			m := newMachine(t, all, pod, secrets)
			container := pod.list("containers")[0]
			out, problems, err := m.run(t, container, "config", "check", "--config", m.path("/etc/runnel/config/runnel.yaml"))
			if err != nil {
				t.Fatalf("%v\n%s\n%s", err, problems, all["ConfigMap/events-runnel"].text("data", "runnel.yaml"))
			}
			if out != "ok\n" {
				t.Errorf("it says %q", out)
			}
			if problems != "" && migrates(t) {
				t.Errorf("it warns: %s", problems)
			}
			for _, file := range paths(configuration(t, all)) {
				if _, err := os.Stat(m.path(file)); err != nil {
					t.Errorf("nothing is mounted where the configuration looks: %v", err)
				}
			}
		})
	}
}

// paths are the files that a configuration names.
func paths(c object) []string {
	var found []string
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			for _, child := range v {
				walk(child)
			}
		case string:
			if strings.HasPrefix(v, "/etc/runnel/") {
				found = append(found, v)
			}
		}
	}
	walk(map[string]any(c))
	return found
}

// TestWhatBrokersMakeOfIt compares what the chart was told with what the binary understood.
func TestWhatBrokersMakeOfIt(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]map[string]string{
		"minimal": {
			"metastore.url": "postgres://runnel@db/runnel", "object_store.url": "s3://records/runnel", "peer.listen": ":9645", "peer.advertise": "10.1.2.3:9645",
			"listeners.internal.listen": ":9092", "listeners.internal.advertise": "10.1.2.3:9092", "listeners.internal.protocol": "PLAINTEXT",
			"admin.listen": ":9644", "admin.open_metrics": "false", "log.format": "json",
		},
		"single":     {"object_store.endpoint": "http://minio:9000", "zone": "rack-1"},
		"production": {"drain.timeout": "1m30s", "cluster.num.partitions": "6", "cluster.log.retention.ms": "-1", "garbage.grace": "24h", "object_store.region": "eu-central-1"},
		"secure": {
			"authorizer": "on", "zone": "zone-1", "auth.bootstrap_user": "admin", "peer.advertise": "events-runnel-0.events-runnel-brokers.streams.svc.cluster.local:9645",
			"listeners.internal.protocol": "SASL_SSL", "listeners.machines.client_auth": "required", "listeners.machines.max_connections": "500",
			"cluster.super.users": "User:admin;User:CN=machines",
		},
		"external": {
			"listeners.external.advertise": "events-runnel-0.kafka.example.com:9094", "listeners.external.client_auth": "requested",
			"listeners.internal.advertise": "10.1.2.3:9092", "admin.open_metrics": "true",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			all := objects(t, name)
			_, pod := broker(t, all)
			m := newMachine(t, all, pod, map[string]string{"events-db-app/uri": "postgres://runnel:hunter2@db/runnel"})
			out, problems, err := m.run(t, pod.list("containers")[0], "config", "print", "--json", "--effective", "--config", m.path("/etc/runnel/config/runnel.yaml"))
			if err != nil {
				t.Fatalf("%v\n%s", err, problems)
			}
			var understood []struct{ Key, Value string }
			if err := json.Unmarshal([]byte(out), &understood); err != nil {
				t.Fatal(err)
			}
			got := make(map[string]string)
			for _, v := range understood {
				got[v.Key] = v.Value
			}
			for key, value := range want {
				if got[key] != value {
					t.Errorf("%s is %q, not %q", key, got[key], value)
				}
			}
		})
	}
}
