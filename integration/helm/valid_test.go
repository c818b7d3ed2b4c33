package helm

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/runnel-io/runnel/integration/harness"
	"github.com/runnel-io/runnel/integration/toolchain"
)

// schemas is a directory of JSON schemas of the Kubernetes API.
func schemas(t testing.TB) string {
	t.Helper()
	tools, err := toolchain.Default(os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := tools.KubernetesSchemas(t.Context(), "requirements.txt", "v"+oldest, "v"+newest)
	if err != nil {
		harness.Missing(t, "the schemas of the Kubernetes API", err)
	}
	return dir
}

// conform holds manifests against the API of a version, strictly: what it does not know is refused. The operator's
// ServiceMonitor is no part of it.
func conform(t testing.TB, version, manifests string) (out string, err error) {
	t.Helper()
	cmd := exec.CommandContext(harness.Soon(t), program(t, toolchain.Kubeconform), "-strict", "-summary", "-kubernetes-version", version,
		"-skip", "ServiceMonitor", "-schema-location", filepath.Join(schemas(t), "v"+version, "{{.ResourceKind}}{{.KindSuffix}}.json"))
	cmd.Stdin = strings.NewReader(manifests)
	var buffer bytes.Buffer
	cmd.Stdout, cmd.Stderr = &buffer, &buffer
	err = cmd.Run()
	return buffer.String(), err
}

func TestWhatIsRenderedIsValid(t *testing.T) {
	t.Parallel()
	for _, name := range files(t) {
		for _, version := range []string{oldest, newest} {
			t.Run(name+" on "+version, func(t *testing.T) {
				t.Parallel()
				manifests, err := template(t, append(values(name), "--kube-version", version)...)
				if err != nil {
					t.Fatal(err)
				}
				if len(parse(t, manifests)) < 5 {
					t.Errorf("little is rendered:\n%s", manifests)
				}
				if out, err := conform(t, version, manifests); err != nil {
					t.Errorf("%v\n%s", err, out)
				}
			})
		}
	}
}

// TestConformRefusesWhatIsWrong makes sure that the judge judges.
func TestConformRefusesWhatIsWrong(t *testing.T) {
	t.Parallel()
	manifests, err := template(t, values("minimal")...)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string][2]string{
		"unknown field": {"serviceName:", "serviceNames:"},
		"wrong type":    {"minReadySeconds: 10", "minReadySeconds: ten"},
		"nested":        {"maxSkew: 1", "maxSkews: 1"},
	} {
		wrong := strings.Replace(manifests, change[0], change[1], 1)
		if wrong == manifests {
			t.Fatalf("%s: nothing to change", name)
		}
		if out, err := conform(t, newest, wrong); err == nil {
			t.Errorf("%s is not found:\n%s", name, out)
		}
	}
}

func TestLintFindsNothing(t *testing.T) {
	t.Parallel()
	for _, name := range append(files(t), "") {
		args := []string{"lint", chart, "--strict", "--quiet", "--namespace", namespace}
		if name != "" {
			args = append(args, "--values", filepath.Join("testdata", name+".yaml"))
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if out, err := helm(t, args...); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

func TestTheSameValuesRenderTheSame(t *testing.T) {
	t.Parallel()
	for _, name := range files(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			first, err := template(t, values(name)...)
			if err != nil {
				t.Fatal(err)
			}
			second, err := template(t, values(name)...)
			if err != nil {
				t.Fatal(err)
			}
			if first != second {
				t.Errorf("first\n%s\nthen\n%s", first, second)
			}
		})
	}
}
