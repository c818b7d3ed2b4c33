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
)

const (
	timeout = 20 * time.Minute
	image   = "runnel:module-test"
	fewest  = 10 // tests and examples that there are; fewer were not found, or left out
)

// TestTestcontainersModule runs all of them, of which none may be left out: in the module itself, that is what happens without an engine.
func TestTestcontainersModule(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	e, err := engine.Start(ctx)
	if errors.Is(err, engine.ErrNone) && os.Getenv("CI") != "true" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := e.Stop(); err != nil {
			t.Error(err)
		}
	}()
	if err := e.BuildImage(ctx, image); err != nil {
		t.Fatal(err)
	}
	root, err := engine.Repository()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, "go", "test", "-json", "-count=1", "-timeout=15m", "./...")
	cmd.Dir = filepath.Join(root, "testcontainers", "runnel")
	cmd.Env = append(append(os.Environ(), e.Environment()...), "RUNNEL_TEST_IMAGE="+image, "CI=true")
	cmd.Stderr = t.Output()
	out, err := cmd.Output()
	if err != nil {
		t.Errorf("%v", err)
	}
	passed := tell(t, out)
	if passed < fewest && !t.Failed() {
		t.Errorf("%d tests passed, and there are more than %d", passed, fewest)
	}
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
