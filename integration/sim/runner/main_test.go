package runner

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/runnel-io/runnel/planted"
)

// programs holds those that tests have built, each once.
var programs string

func TestMain(m *testing.M) {
	os.Exit(inPrograms(m.Run))
}

func inPrograms(run func() int) int {
	var err error
	if programs, err = os.MkdirTemp("", "runnel-sim-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(programs)
	return run()
}

var (
	ordinary = sync.OnceValues(func() (string, error) { return built("sim.test") })
	spoiled  = sync.OnceValues(func() (string, error) { return built("planted.test", planted.Tag) })
)

func built(name string, tags ...string) (string, error) {
	binary := filepath.Join(programs, name)
	return binary, Build(context.Background(), binary, tags...)
}

// program builds a program unless another test has.
func program(t *testing.T, which func() (string, error)) string {
	t.Helper()
	binary, err := which()
	if err != nil {
		t.Fatal(err)
	}
	return binary
}
