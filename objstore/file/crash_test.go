package file_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/runnel-io/runnel/objstore/file"
)

const (
	crashDirEnv  = "RUNNEL_TEST_CRASH_DIR" // set: this process is the one that gets killed
	crashObject  = 1 << 20
	crashWriters = 4
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashDirEnv); dir != "" {
		fmt.Fprintln(os.Stderr, putUntilKilled(dir))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// putUntilKilled creates objects and prints the key of each after Put has returned.
func putUntilKilled(dir string) error {
	s, err := file.Open(context.Background(), dir, file.Options{})
	if err != nil {
		return err
	}
	errs := make(chan error)
	var stdout sync.Mutex
	for w := range crashWriters {
		go func() {
			for i := 0; ; i++ {
				key := fmt.Sprintf("p%d/w%d/%d/%d", os.Getpid(), w, i%7, i)
				if err := s.Put(context.Background(), key, crashParts(key)); err != nil {
					errs <- err
					return
				}
				stdout.Lock()
				fmt.Println(key)
				stdout.Unlock()
			}
		}()
	}
	return <-errs
}

// crashParts is an object that says in every line what it is.
func crashParts(key string) [][]byte {
	line := []byte(key + "\n")
	half := bytes.Repeat(line, crashObject/2/len(line))
	return [][]byte{half, half}
}

func TestKilledWriterLeavesWholeObjectsOrNone(t *testing.T) {
	dir := t.TempDir()
	var acknowledged []string
	for range 4 {
		acknowledged = append(acknowledged, killWriter(t, dir, 12)...)
		s, err := file.Open(t.Context(), dir, file.Options{})
		if err != nil {
			t.Fatal(err)
		}
		left, err := os.ReadDir(dir + "/tmp~")
		if err != nil || len(left) != 0 {
			t.Fatalf("temporary files after Open: %v, %v", left, err)
		}
		seen := make(map[string]bool)
		for o, err := range s.List(t.Context(), "", "") {
			if err != nil {
				t.Fatal(err)
			}
			seen[o.Key] = true
			got, err := s.GetSuffix(t.Context(), o.Key, 2*crashObject)
			if err != nil || !bytes.Equal(got, bytes.Join(crashParts(o.Key), nil)) {
				t.Fatalf("object %s: %d bytes, %v", o.Key, len(got), err)
			}
		}
		for _, key := range acknowledged {
			if !seen[key] {
				t.Fatalf("acknowledged object %s is gone", key)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// killWriter runs a writer, kills it after so many acknowledgements, and returns all that it made.
func killWriter(t *testing.T, dir string, after int) []string {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), crashDirEnv+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var keys []string
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if keys = append(keys, strings.TrimSpace(lines.Text())); len(keys) == after {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := cmd.Wait(); err == nil || len(keys) < after {
		t.Fatalf("the writer was to be killed after %d objects; it wrote %d: %v", after, len(keys), err)
	}
	return keys
}
