package memory

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/runnel-io/runnel/metastore"
)

// appendUntilKilledEnv names the directory in which this binary, run again, appends until it is killed.
const appendUntilKilledEnv = "RUNNEL_TEST_APPEND_UNTIL_KILLED"

// appendUntilKilled prints the payload of every entry that was acknowledged.
func appendUntilKilled(dir string) {
	ctx := context.Background()
	s, err := Open(ctx, dir, Options{CheckpointBytes: 20 << 10})
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	var out sync.Mutex
	for a := range 4 {
		go func() {
			for {
				s.mu.Lock()
				p := s.state.end()
				s.mu.Unlock()
				next := p.Next(fmt.Appendf(nil, "pid %d appender %d after %d", os.Getpid(), a, p.Seq))
				switch err := s.Append(ctx, p, next); {
				case err == nil:
					out.Lock()
					fmt.Println(string(next.Payload))
					out.Unlock()
				case !errors.Is(err, metastore.ErrConflict):
					fmt.Println("error", err)
					os.Exit(1)
				}
			}
		}()
	}
	select {}
}

func TestKilledStoreKeepsWhatItAcknowledged(t *testing.T) {
	const rounds = 20
	dir, acked := t.TempDir(), make(map[string]bool)
	for range rounds {
		for _, payload := range runUntilKilled(t, dir, 1+rand.IntN(200)) {
			acked[payload] = true
		}
		s := openDir(t, dir, Options{})
		entries, err := s.Read(t.Context(), metastore.Position{}, 1<<30)
		if err != nil {
			t.Fatal(err)
		}
		there, p := make(map[string]bool), metastore.Position{}
		for _, e := range entries {
			if p = p.Next(e.Payload).Position; p != e.Position {
				t.Fatalf("entry %d does not chain", e.Seq)
			}
			there[string(e.Payload)] = true
		}
		for payload := range acked {
			if !there[payload] {
				t.Fatalf("lost: %s", payload)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d entries acknowledged in %d rounds", len(acked), rounds)
}

// runUntilKilled kills a process that appends once it acknowledged n entries, and returns all that it did.
func runUntilKilled(t *testing.T, dir string, n int) []string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), appendUntilKilledEnv+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var acked []string
	for lines := bufio.NewReader(out); ; {
		line, err := lines.ReadString('\n')
		if err != nil { // the last line may be incomplete
			break
		}
		if strings.HasPrefix(line, "error") {
			t.Error(line)
		}
		acked = append(acked, strings.TrimSuffix(line, "\n"))
		if len(acked) == n {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	_ = cmd.Wait() // killed
	return acked
}
