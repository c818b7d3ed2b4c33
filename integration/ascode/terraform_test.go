package ascode

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/runnel-io/runnel/integration/harness"
	"github.com/runnel-io/runnel/integration/toolchain"
)

// workspace is a directory of Terraform's, with a state of its own.
type workspace struct {
	t        *testing.T
	c        *cluster
	dir, bin string
	env      []string
}

// newWorkspace is ready for plans. Without Terraform the test is skipped, in CI failed.
func newWorkspace(t *testing.T, c *cluster) *workspace {
	t.Helper()
	bin, err := exec.LookPath("terraform")
	if err != nil {
		harness.Missing(t, "Terraform", err)
	}
	w := &workspace{t: t, c: c, dir: t.TempDir(), bin: bin}
	config := filepath.Join(w.dir, "cli.tfrc")
	text := fmt.Sprintf("provider_installation {\n  filesystem_mirror {\n    path = %q\n  }\n}\n", mirror(t))
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, kv := range os.Environ() { // neither the caller's settings nor those of the provider
		if !strings.HasPrefix(kv, "TF_") && !strings.HasPrefix(kv, "KAFKA_") && !strings.HasPrefix(kv, "AWS_") {
			w.env = append(w.env, kv)
		}
	}
	w.env = append(w.env, "TF_CLI_CONFIG_FILE="+config, "CHECKPOINT_DISABLE=1", "TF_IN_AUTOMATION=1", "TF_INPUT=0")
	// One resource at a time: of several who open the connection to the controller at once, the provider's client may tell all but one
	// that there is none ("kafka: broker not connected"), whatever the broker does.
	for _, command := range []string{"plan", "apply", "destroy"} {
		w.env = append(w.env, "TF_CLI_ARGS_"+command+"=-parallelism=1")
	}
	w.write("")
	w.must("init")
	return w
}

// mirror is a directory that holds the provider as Terraform's registry would.
func mirror(t *testing.T) string {
	t.Helper()
	tools, err := toolchain.Default(os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	program, err := tools.GoSource(t.Context(), toolchain.KafkaProvider)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	at := filepath.Join(dir, "registry.terraform.io", "mongey", "kafka", version(), "linux_amd64")
	if err := os.MkdirAll(at, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(program, filepath.Join(at, "terraform-provider-kafka_"+toolchain.KafkaProvider.Version)); err != nil {
		t.Fatal(err)
	}
	return dir
}

func version() string { return strings.TrimPrefix(toolchain.KafkaProvider.Version, "v") }

// write makes resources the whole of what is wanted.
func (w *workspace) write(resources string) {
	w.t.Helper()
	var brokers []string
	for _, b := range w.c.brokers {
		brokers = append(brokers, fmt.Sprintf("%q", b.Listeners[encrypted]))
	}
	text := fmt.Sprintf(`terraform {
  required_providers {
    kafka = {
      source  = "Mongey/kafka"
      version = %q
    }
  }
}
provider "kafka" {
  bootstrap_servers = [%s]
  ca_cert           = %q
  sasl_mechanism    = "scram-sha512"
  sasl_username     = %q
  sasl_password     = %q
  timeout           = 30
}
%s`, version(), strings.Join(brokers, ", "), w.c.authority.Certificate, root, password, resources)
	if err := os.WriteFile(filepath.Join(w.dir, "main.tf"), []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// run runs Terraform.
func (w *workspace) run(args ...string) (stdout, stderr string, code int) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, w.bin, args...)
	cmd.Dir, cmd.Env, cmd.WaitDelay = w.dir, w.env, 10*time.Second
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); cmd.ProcessState == nil {
		w.t.Fatalf("terraform %v: %v", args, err)
	}
	return out.String(), errOut.String(), cmd.ProcessState.ExitCode()
}

func (w *workspace) must(args ...string) string {
	w.t.Helper()
	out, errOut, code := w.run(append(args, "-no-color")...)
	if code != 0 {
		w.t.Fatalf("terraform %v: exit code %d\n%s%s", args, code, out, errOut)
	}
	return out
}

// changes are what a plan would do, by resource: create, update, delete, or delete and create.
type changes map[string][]string

// plan tells what would be done for resources, and what of the state was found to be different on the cluster.
func (w *workspace) plan(resources string) (todo, drift changes) {
	w.t.Helper()
	w.write(resources)
	w.must("plan", "-out=plan", "-lock=false")
	var plan struct {
		Changes []resourceChange `json:"resource_changes"`
		Drift   []resourceChange `json:"resource_drift"`
	}
	if err := json.Unmarshal([]byte(w.must("show", "-json", "plan")), &plan); err != nil {
		w.t.Fatal(err)
	}
	return collect(plan.Changes), collect(plan.Drift)
}

type resourceChange struct {
	Address string `json:"address"`
	Change  struct {
		Actions       []string `json:"actions"`
		Before, After map[string]any
	} `json:"change"`
}

// isReal leaves out what the provider itself makes of what is not set: nothing when it creates, an empty text when it reads.
func (r resourceChange) isReal() bool {
	if slices.Equal(r.Change.Actions, []string{"no-op"}) || slices.Equal(r.Change.Actions, []string{"read"}) {
		return false
	}
	for _, values := range []map[string]any{r.Change.Before, r.Change.After} {
		maps.DeleteFunc(values, func(_ string, v any) bool {
			none, ok := v.(map[string]any)
			return v == nil || v == "" || ok && len(none) == 0
		})
	}
	return !reflect.DeepEqual(r.Change.Before, r.Change.After)
}

func collect(all []resourceChange) changes {
	found := changes{}
	for _, r := range all {
		if r.isReal() {
			found[r.Address] = r.Change.Actions
		}
	}
	return found
}

// apply brings resources about, by the changes that are expected and no others, and then finds nothing left to do.
func (w *workspace) apply(resources string, want changes) {
	w.t.Helper()
	todo, drift := w.plan(resources)
	if !reflect.DeepEqual(todo, want) {
		w.t.Fatalf("the plan is %v, want %v", todo, want)
	}
	if len(drift) > 0 {
		w.t.Errorf("the cluster is not as it was left: %v", drift)
	}
	w.must("apply", "plan")
	w.steady(resources)
}

// steady finds nothing to do.
func (w *workspace) steady(resources string) {
	w.t.Helper()
	if todo, drift := w.plan(resources); len(todo)+len(drift) > 0 {
		w.t.Errorf("nothing was changed, and there is something to do: %v, drift %v\n%s", todo, drift, w.must("show", "plan"))
	}
}

// destroy deletes all that the state names.
func (w *workspace) destroy() {
	w.t.Helper()
	w.must("destroy", "-auto-approve")
	if out := strings.TrimSpace(w.must("state", "list")); out != "" {
		w.t.Errorf("the state still has %s", out)
	}
}

var (
	create  = []string{"create"}
	update  = []string{"update"}
	replace = []string{"delete", "create"}
)

// each is the same action for resources.
func each(action []string, addresses ...string) changes {
	c := changes{}
	for _, a := range addresses {
		c[a] = action
	}
	return c
}

func and(all ...changes) changes {
	c := changes{}
	for _, one := range all {
		maps.Copy(c, one)
	}
	return c
}
