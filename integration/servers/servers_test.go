package servers

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/jackc/pgx/v5"

	"github.com/runnel-io/runnel/integration/toolchain"
)

// children lists processes that have dir in their command line, other than this one.
func children(t *testing.T, dir string) []string {
	t.Helper()
	var found []string
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Skip("no /proc to look for processes in")
	}
	for _, e := range entries {
		line, err := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
		if err == nil && strings.Contains(string(line), dir) && e.Name() != strconv.Itoa(os.Getpid()) {
			found = append(found, e.Name()+" "+strings.ReplaceAll(string(line), "\x00", " "))
		}
	}
	return found
}

func TestPostgresStopsStartsAndLeavesNothing(t *testing.T) {
	p, err := OpenPostgres(t.Context(), PostgresOptions{Settings: map[string]string{"max_connections": "17"}})
	if err != nil {
		t.Fatal(err)
	}
	dsn, err := p.CreateDatabase(t.Context(), "kept")
	if err != nil {
		t.Fatal(err)
	}
	for _, end := range []func() error{p.Stop, p.Kill} {
		if err := end(); err != nil {
			t.Fatal(err)
		}
		if err := p.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := query(t, dsn, "SHOW max_connections"); got != "17" {
			t.Errorf("max_connections is %s", got)
		}
	}
	if got := query(t, dsn, "SELECT current_database()"); got != "kept" {
		t.Errorf("the database after a stop and a kill: %s", got)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if left := children(t, p.dir); len(left) > 0 {
		t.Errorf("processes are left: %q", left)
	}
	if _, err := os.Stat(p.dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the data is left: %v", err)
	}
}

func query(t *testing.T, dsn, sql string) (s string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if err := conn.QueryRow(t.Context(), sql).Scan(&s); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestS3StopsStartsAndLeavesNothing(t *testing.T) {
	tools, err := toolchain.Default(os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	for name, open := range map[string]func(t *testing.T) (*S3, error){
		"versitygw": func(t *testing.T) (*S3, error) { return OpenS3(t.Context(), tools) },
		"minio": func(t *testing.T) (*S3, error) {
			bin, err := FindMinIO(t.Context(), tools)
			if errors.Is(err, ErrNoMinIO) {
				t.Skip(err)
			}
			if err != nil {
				return nil, err
			}
			return OpenMinIO(t.Context(), bin)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := open(t)
			if err != nil {
				t.Fatal(err)
			}
			in := &s3.PutObjectInput{Bucket: aws.String(Bucket), Key: aws.String("kept"), Body: strings.NewReader("it")}
			if _, err := s.client().PutObject(t.Context(), in); err != nil {
				t.Error(err)
			}
			for _, end := range []func() error{s.Stop, s.Kill} {
				if err := end(); err != nil {
					t.Fatal(err)
				}
				if err := s.Start(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := s.client().HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: in.Bucket, Key: in.Key}); err != nil {
				t.Errorf("the object after a stop and a kill: %v", err)
			}
			if want := "@" + strings.TrimPrefix(s.Endpoint(), "http://") + "/" + Bucket; !strings.HasSuffix(s.URL(), want) {
				t.Errorf("the URL is not for the bucket: %s", s.URL())
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if left := children(t, s.dir); len(left) > 0 {
				t.Errorf("processes are left: %q", left)
			}
			if _, err := os.Stat(s.dir); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the objects are left: %v", err)
			}
		})
	}
}

// TestMinIOIsWhatIsAskedFor: a path that is not there is a mistake, and nothing is built unasked.
func TestMinIOIsWhatIsAskedFor(t *testing.T) {
	empty := toolchain.Cache{Dir: t.TempDir(), Log: os.Stderr}
	there := filepath.Join(t.TempDir(), "minio")
	if err := os.WriteFile(there, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("CI", "")
	for _, tc := range []struct {
		asked, want string
		err         error
	}{{"", "", ErrNoMinIO}, {there, there, nil}, {there + "x", "", os.ErrNotExist}} {
		t.Setenv(MinIOEnv, tc.asked)
		if got, err := FindMinIO(t.Context(), empty); got != tc.want || !errors.Is(err, tc.err) {
			t.Errorf("%q: %q, %v; want %q, %v", tc.asked, got, err, tc.want, tc.err)
		}
	}
}

func TestServersEndWithAProcessThatIsKilled(t *testing.T) {
	if os.Getenv("SERVERS_TEST_VICTIM") != "" {
		log, _ := NewLog("")
		p, err := Start("sleeper", exec.Command("sleep", "300.25"), syscall.SIGTERM, log)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = os.Stdout.WriteString("pid " + strconv.Itoa(p.Pid()) + "\n")
		<-p.Exited()
		return
	}
	victim := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestServersEndWithAProcessThatIsKilled$")
	victim.Env = append(os.Environ(), "SERVERS_TEST_VICTIM=1")
	out, err := victim.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := victim.Start(); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, 64)
	n, err := out.Read(line)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(strings.TrimPrefix(string(line[:n]), "pid ")))
	if err != nil {
		t.Fatal(err)
	}
	if err := victim.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = victim.Wait()
	for deadline := time.Now().Add(10 * time.Second); alive(pid); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("process %d lives on", pid)
		}
	}
}

// alive: a zombie that nobody reaps yet is not.
func alive(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(rest, "Z")
}

func TestStopSaysThatTheProcessIgnoredTheSignal(t *testing.T) {
	log, _ := NewLog("")
	p, err := Start("stubborn", exec.Command("sh", "-c", "trap '' TERM; echo trapped; while :; do sleep 0.05; done"), syscall.SIGKILL, log)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	err = p.ready(ctx, func(context.Context) error {
		if log.Tail() == "" {
			return errors.New("not yet")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	err = p.Stop(syscall.SIGTERM, 100*time.Millisecond)
	if err == nil || !strings.Contains(err.Error(), "trapped") {
		t.Errorf("Stop: %v, want an error with the last words", err)
	}
}

func TestReadySaysWhyAProcessEnded(t *testing.T) {
	log, _ := NewLog("")
	p, err := Start("short", exec.Command("sh", "-c", "echo no disk; exit 7"), syscall.SIGKILL, log)
	if err != nil {
		t.Fatal(err)
	}
	err = p.ready(t.Context(), func(context.Context) error { return errors.New("not yet") })
	if err == nil || !strings.Contains(err.Error(), "exit status 7") || !strings.Contains(err.Error(), "no disk") {
		t.Errorf("ready: %v", err)
	}
}
