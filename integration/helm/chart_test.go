package helm

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/runnel-io/runnel/integration/harness"
	"github.com/runnel-io/runnel/integration/toolchain"
)

const (
	chart     = "../../helm/runnel"
	release   = "events"
	namespace = "streams"

	oldest = "1.27.0" // of Chart.yaml's kubeVersion
	newest = "1.37.0"
)

// program is the path of a pinned program. Where it cannot be built the test is skipped; in CI that is a failure.
func program(t testing.TB, p toolchain.GoProgram) string {
	t.Helper()
	tools, err := toolchain.Default(os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	path, err := tools.GoProgram(t.Context(), p)
	if err != nil {
		harness.Missing(t, p.Name(), err)
	}
	return path
}

// helm runs a command of Helm that knows nothing of this user's settings and clusters.
func helm(t testing.TB, args ...string) (out string, err error) {
	t.Helper()
	cmd := exec.CommandContext(harness.Soon(t), program(t, toolchain.Helm), args...)
	home := t.TempDir()
	cmd.Env = append(os.Environ(), "HELM_CONFIG_HOME="+home, "HELM_CACHE_HOME="+home, "HELM_DATA_HOME="+home, "KUBECONFIG="+filepath.Join(home, "none"))
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("helm %s: %w\n%s%s", strings.Join(args, " "), err, stdout.String(), stderr.String())
	}
	return stdout.String(), nil
}

// template renders the chart. Further arguments are Helm's.
func template(t testing.TB, args ...string) (string, error) {
	t.Helper()
	return helm(t, append([]string{"template", release, chart, "--namespace", namespace, "--kube-version", newest}, args...)...)
}

// values are the arguments for a file of testdata.
func values(name string) []string {
	return []string{"--values", filepath.Join("testdata", name+".yaml"), "--api-versions", "monitoring.coreos.com/v1"}
}

// object is a manifest.
type object map[string]any

// at follows a path of keys and returns nil if it leads nowhere; a number in it is an index.
func (o object) at(path ...any) any {
	var here any = map[string]any(o)
	for _, step := range path {
		switch s := step.(type) {
		case string:
			m, _ := here.(map[string]any)
			here = m[s]
		case int:
			list, _ := here.([]any)
			if s >= len(list) {
				return nil
			}
			here = list[s]
		}
	}
	return here
}

func (o object) text(path ...any) string {
	s, _ := o.at(path...).(string)
	return s
}

func (o object) list(path ...any) []object {
	list, _ := o.at(path...).([]any)
	var all []object
	for _, item := range list {
		if m, ok := item.(map[string]any); ok {
			all = append(all, m)
		}
	}
	return all
}

func (o object) id() string { return o.text("kind") + "/" + o.text("metadata", "name") }

// parse reads manifests, each of which must be of another object.
func parse(t testing.TB, manifests string) map[string]object {
	t.Helper()
	objects := make(map[string]object)
	decoder := yaml.NewDecoder(strings.NewReader(manifests))
	for {
		var o map[string]any // of the plain type, as those in it shall be
		err := decoder.Decode(&o)
		if errors.Is(err, io.EOF) {
			return objects
		}
		if err != nil {
			t.Fatalf("rendered YAML: %v\n%s", err, manifests)
		}
		if len(o) == 0 {
			continue
		}
		id := object(o).id()
		if _, ok := objects[id]; ok {
			t.Errorf("%s is rendered twice", id)
		}
		objects[id] = o
	}
}

// rendered caches what files of values render: Helm takes its time.
var rendered sync.Map

// objects are the manifests of a file of values.
func objects(t testing.TB, name string) map[string]object {
	t.Helper()
	text, ok := rendered.Load(name)
	if !ok {
		out, err := template(t, values(name)...)
		if err != nil {
			t.Fatal(err)
		}
		text, _ = rendered.LoadOrStore(name, out)
	}
	return parse(t, text.(string))
}

// files are the names of all files of values in testdata.
func files(t testing.TB) []string {
	t.Helper()
	paths, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(paths) == 0 {
		t.Fatalf("%d files of values: %v", len(paths), err)
	}
	var names []string
	for _, path := range paths {
		names = append(names, strings.TrimSuffix(filepath.Base(path), ".yaml"))
	}
	return names
}

// broker is the StatefulSet of a rendered chart, and pod its pods' spec.
func broker(t testing.TB, all map[string]object) (set, pod object) {
	t.Helper()
	for id, o := range all {
		if strings.HasPrefix(id, "StatefulSet/") {
			pod, _ := o.at("spec", "template", "spec").(map[string]any)
			return o, pod
		}
	}
	t.Fatal("no StatefulSet is rendered")
	return nil, nil
}
