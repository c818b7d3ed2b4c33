package terraform

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// rendering asks Terraform for what an instance with everything would run. It has no provider.
const rendering = `
output "script" {
  value = templatefile("../modules/broker/user-data.sh.tftpl", {
    name          = "events"
    region        = "eu-central-1"
    image         = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/runnel:0.1.0"
    registry      = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
    registry_region = "eu-west-1"
    command       = "broker --migrate"
    environment   = { RUNNEL_ZONE = "auto", RUNNEL_METASTORE_AUTHORITIES = "it's\ntwo lines and $HOME" }
    secrets       = { RUNNEL_PEER_SECRET = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:peers-AbCdEf" }
    files         = { "tls.crt" = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:tls-AbCdEf:crt::" }
    log_group     = "/runnel/events"
    stop_seconds  = 45
    ready_url     = "http://127.0.0.1:9644/readyz"
  })
}
`

// standIns are programs of an instance that note what they were asked, in the file CALLS. AWS has a token for the registry's own
// region alone, and does not hear the first word of an instance.
var standIns = map[string]string{
	"aws": `case "$*" in
*get-login-password*\ eu-west-1) echo password-of-the-registry ;;
*complete-lifecycle-action*) echo "aws $*" >>CALLS; mkdir CALLS.heard 2>/dev/null && exit 1; true ;;
*peers-AbCdEf\ *) echo 'secret of peers, with $HOME' ;;
*tls-AbCdEf\ *) echo '{"crt": "-----BEGIN\n-----END"}' ;;
*) exit 1 ;;
esac`,
	"docker": `echo "docker $*" >>CALLS
[[ $1 != login ]] || cat >/dev/null
[[ $1 != image ]] || exit 1
[[ $1 != run ]] || printf '%s=[%s]\n' peers "${RUNNEL_PEER_SECRET-}" authorities "${RUNNEL_METASTORE_AUTHORITIES-}" >>CALLS`,
	"curl": `case "$*" in
*instance-id*) echo i-1 ;;
*availability-zone*) echo eu-central-1a ;;
*target-lifecycle-state*) echo Terminated ;;
*api/token*) echo token ;;
esac`,
	"systemctl": `echo "systemctl $*" >>CALLS`,
	"chown":     `echo "chown $*" >>CALLS`,
}

var written = regexp.MustCompile(`(?s)cat >(\S+) <<'END'\n(.*?)\nEND\n`)

// TestInstanceScripts runs what an instance runs, with stand-ins for Docker and AWS.
func TestInstanceScripts(t *testing.T) {
	t.Parallel()
	c := open(t)
	if err := os.Mkdir(filepath.Join(c.root, "scripts"), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(c.root, "scripts", "main.tf"), rendering)
	c.init(t, "scripts")
	c.run(t, "scripts", "apply", "-no-color", "-auto-approve")
	script := c.run(t, "scripts", "output", "-raw", "script")

	box := t.TempDir()
	calls := filepath.Join(box, "calls")
	for name, body := range standIns {
		executable(t, filepath.Join(box, name), "#!/bin/bash\n"+strings.ReplaceAll(body, "CALLS", calls)+"\n")
	}
	for _, file := range written.FindAllStringSubmatch(script, -1) {
		body := strings.NewReplacer("/run/runnel/", box+"/", "/etc/runnel/environment", box+"/environment").Replace(file[2])
		executable(t, filepath.Join(box, filepath.Base(file[1])), body+"\n")
	}

	got := runScript(t, box, "runnel-start")
	for _, want := range []string{
		"docker login --username AWS --password-stdin 123456789012.dkr.ecr.eu-west-1.amazonaws.com\n",
		"--env RUNNEL_METASTORE_AUTHORITIES --env RUNNEL_ZONE --env RUNNEL_PEER_SECRET 123456789012.dkr.ecr.eu-west-1.amazonaws.com/runnel:0.1.0 broker --migrate\npeers=[secret of peers, with $HOME]\nauthorities=[it's\ntwo lines and $HOME]\n",
		"chown 65532:65532 " + box + "/tls.crt\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the start did not do\n%s\nbut\n%s", want, got)
		}
	}
	if strings.Contains(strings.ReplaceAll(got, "peers=[secret of peers", ""), "secret of peers") {
		t.Errorf("a secret is an argument, which every user of the machine sees:\n%s", got)
	}
	if b, err := os.ReadFile(filepath.Join(box, "tls.crt")); err != nil || string(b) != "-----BEGIN\n-----END\n" {
		t.Errorf("the file of a secret holds %q: %v", b, err)
	}
	if info, err := os.Stat(filepath.Join(box, "tls.crt")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file of a secret: %v, %v", info.Mode(), err)
	}

	const complete = "aws autoscaling complete-lifecycle-action --region eu-central-1 --auto-scaling-group-name events-eu-central-1a --lifecycle-hook-name "
	const end = " --instance-id i-1 --lifecycle-action-result CONTINUE\n"
	want := complete + "ready" + end + complete + "ready" + end + "systemctl stop runnel\n" + complete + "drained" + end
	if got := runScript(t, box, "runnel-lifecycle"); got != want {
		t.Errorf("the instance's life is\n%s\nand not\n%s", got, want)
	}
}

func executable(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o700); err != nil {
		t.Fatal(err)
	}
}

// runScript runs a script of an instance with nothing but stand-ins and the system's tools, and returns their calls.
func runScript(t *testing.T, box, name string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	calls := filepath.Join(box, "calls")
	if err := os.RemoveAll(calls); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, filepath.Join(box, name))
	cmd.Env = []string{"PATH=" + box + ":/usr/bin:/bin", "HOME=" + box}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
	b, err := os.ReadFile(calls)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
