package module

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/runnel-io/runnel/integration/containers/engine"
	"github.com/runnel-io/runnel/integration/harness"
)

// What the tests go by.
const (
	timeout = 12 * time.Minute
	image   = "runnel:module-test"
	fewest  = 10 // tests and examples that there are; fewer were not found, or left out
)

// start gives a test an engine that has the image.
func start(ctx context.Context, t *testing.T) *engine.Engine {
	t.Helper()
	e, err := engine.Start(ctx)
	if errors.Is(err, engine.ErrNone) && os.Getenv("CI") != "true" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Stop(); err != nil {
			t.Error(err)
		}
	})
	if err := e.BuildImage(ctx, image); err != nil {
		t.Fatal(err)
	}
	return e
}

// TestTestcontainers runs what has tests of its own, and what docs/testing.md shows.
func TestTestcontainers(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	e := start(ctx, t)
	t.Run("module for Go", func(t *testing.T) { testModule(ctx, t, e) })
	t.Run("class for Java", func(t *testing.T) { testJava(ctx, t, e) })
}

// testModule runs all tests of the module, of which none may be left out: in the module itself, that is what happens without an
// engine.
func testModule(ctx context.Context, t *testing.T, e *engine.Engine) {
	cmd := exec.CommandContext(ctx, "go", "test", "-json", "-count=1", "-timeout=6m", "./...")
	cmd.Dir = filepath.Join(root(t), "testcontainers", "runnel")
	cmd.Env = append(append(os.Environ(), e.Environment()...), "RUNNEL_TEST_IMAGE="+image, "CI=true")
	cmd.Stderr = t.Output()
	out, err := cmd.Output()
	if err != nil {
		t.Errorf("%v", err)
	}
	passed := tell(t, out)
	if passed < fewest && !t.Failed() {
		t.Errorf("%d tests passed, and there are %d at least", passed, fewest)
	}
}

func root(t *testing.T) string {
	t.Helper()
	root, err := harness.Repository()
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// tell writes what the tests said, counts those that passed, and fails for those that were left out.
func tell(t *testing.T, events []byte) (passed int) {
	t.Helper()
	var said bytes.Buffer
	for lines := json.NewDecoder(bytes.NewReader(events)); ; {
		var e struct{ Action, Test, Output string }
		if err := lines.Decode(&e); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Errorf("read the events of go test: %v", err)
			break
		}
		said.WriteString(e.Output)
		switch {
		case e.Test == "":
		case e.Action == "skip":
			t.Errorf("%s was left out", e.Test)
		case e.Action == "pass":
			passed++
		}
	}
	t.Logf("%s", &said)
	return passed
}
