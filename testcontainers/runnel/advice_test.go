package runnel_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/testcontainers/testcontainers-go"

	"github.com/runnel-io/runnel/testcontainers/runnel"
)

// TestWithoutAnEngineItSaysWhatToDo runs itself in a process of its own, since testcontainers-go looks for an engine once.
func TestWithoutAnEngineItSaysWhatToDo(t *testing.T) {
	const child = "RUNNEL_TEST_WITHOUT_ENGINE"
	if os.Getenv(child) != "" {
		c, err := runnel.Run(deadline(t), runnel.DefaultImage)
		testcontainers.CleanupContainer(t, c)
		if err == nil {
			t.Fatal("a container was made")
		}
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestWithoutAnEngineItSaysWhatToDo$")
	cmd.Env = append(os.Environ(), child+"=1", "DOCKER_HOST=unix:///does/not/exist")
	out, err := cmd.CombinedOutput()
	if err == nil {
		t.Fatalf("it is no failure:\n%s", out)
	}
	for _, want := range []string{"/does/not/exist", "no container engine answers", "DOCKER_HOST", "SkipIfProviderIsNotHealthy"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("it does not say %q:\n%s", want, out)
		}
	}
}
