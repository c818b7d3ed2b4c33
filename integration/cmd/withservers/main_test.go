package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/runnel-io/runnel/integration/servers"
)

// TestMain lets a test run this very program: with WITHSERVERS_ARGS set, the binary is withservers.
func TestMain(m *testing.M) {
	if args := os.Getenv("WITHSERVERS_ARGS"); args != "" {
		os.Args = append(os.Args[:1], strings.Split(args, "\x1f")...)
		main()
		return
	}
	os.Exit(m.Run())
}

func withservers(t *testing.T, args ...string) (*exec.Cmd, string) {
	t.Helper()
	temp := t.TempDir()
	// Servers make their directories below TMPDIR, and PostgreSQL's user has to get there.
	for dir := temp; dir != os.TempDir(); dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), "TMPDIR="+temp, "WITHSERVERS_ARGS="+strings.Join(args, "\x1f"))
	return cmd, temp
}

// clean fails the test if processes of the servers or their data are left. The file of claimed ports stays: others may hold locks on it.
func clean(t *testing.T, temp string) {
	t.Helper()
	left, _ := os.ReadDir(temp)
	left = slices.DeleteFunc(left, func(e os.DirEntry) bool { return filepath.Join(temp, e.Name()) == servers.PortClaims(temp) })
	if len(left) > 0 {
		t.Errorf("files are left: %v", left)
	}
	lines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, line := range lines {
		if b, err := os.ReadFile(line); err == nil && bytes.Contains(b, []byte(temp)) {
			t.Errorf("a process is left: %s %q", line, b)
		}
	}
}

func TestExitCodeAndEnvironmentAreTheCommands(t *testing.T) {
	cmd, temp := withservers(t, "--", "sh", "-c", "echo $RUNNEL_TEST_POSTGRES $RUNNEL_TEST_S3; exit 7")
	out, err := cmd.Output()
	if cmd.ProcessState.ExitCode() != 7 {
		t.Errorf("%v", err)
	}
	if urls := strings.Fields(string(out)); len(urls) != 2 || !strings.HasPrefix(urls[0], "postgres://") || !strings.HasPrefix(urls[1], "http://") {
		t.Errorf("the command saw %q", out)
	}
	clean(t, temp)
}

func TestSigtermStopsTheCommandAndTheServers(t *testing.T) {
	cmd, temp := withservers(t, "--", "sh", "-c", "trap 'echo told; exit 0' TERM; echo up; while :; do sleep 0.05; done")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, 3)
	if _, err := out.Read(line); err != nil || string(line) != "up\n" {
		t.Fatalf("the command said %q: %v", line, err)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	var rest bytes.Buffer
	_, _ = rest.ReadFrom(out)
	_ = cmd.Wait()
	if rest.String() != "told\n" {
		t.Errorf("the command said %q at the end", rest.String())
	}
	clean(t, temp)
}
