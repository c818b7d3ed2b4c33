package terraform

import (
	"bufio"
	"errors"
	"io"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
	"time"
)

// reattach is what the provider prints when it is started by hand: where Terraform finds it.
var reattach = regexp.MustCompile(`TF_REATTACH_PROVIDERS='(\{.*\})'`)

const providerStart = 2 * time.Minute

// serve starts the provider once, for all that terraform is asked to do in this copy. Otherwise each command, and each run of a
// test, starts one of its own and has it describe all of AWS: three quarters of the time that it takes. The provider has the
// environment of now, so that it asks the mock that it names; Terraform configures it anew for each command.
func (c *cli) serve(t *testing.T) {
	t.Helper()
	mirror, err := findMirror()
	if err != nil {
		t.Fatal(err)
	}
	found, err := filepath.Glob(filepath.Join(mirror, "registry.terraform.io/hashicorp/aws/*/*/terraform-provider-aws_*"))
	if err != nil || len(found) != 1 {
		t.Fatalf("programs of the provider in %s: %v, %v", mirror, found, err)
	}
	cmd := exec.Command(found[0], "-debug")
	cmd.Env, cmd.Dir, cmd.WaitDelay = c.env, t.TempDir(), 5*time.Second
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	read := make(chan struct{})
	t.Cleanup(func() {
		if err := cmd.Process.Kill(); err != nil {
			t.Errorf("the provider ended before the test: %v", err)
		}
		<-read
		if exit := (*exec.ExitError)(nil); !errors.As(cmd.Wait(), &exit) {
			t.Error("the provider was not killed")
		}
	})
	where := make(chan string, 1)
	go func() {
		defer close(read)
		lines := bufio.NewReader(out)
		for {
			line, err := lines.ReadString('\n')
			if m := reattach.FindStringSubmatch(line); m != nil {
				where <- m[1]
				break
			}
			if err != nil {
				close(where)
				return
			}
		}
		_, _ = io.Copy(io.Discard, lines)
	}()
	late := time.NewTimer(providerStart)
	defer late.Stop()
	select {
	case at := <-where:
		if at == "" {
			t.Fatal("the provider ended at once")
		}
		c.env = append(c.env, "TF_REATTACH_PROVIDERS="+at)
	case <-late.C:
		t.Fatalf("the provider does not say where it is within %v", providerStart)
	}
}
