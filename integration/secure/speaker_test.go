package secure

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/runnel-io/runnel/integration/servers"
	"github.com/runnel-io/runnel/integration/toolchain"
)

// speaker is a program with clients of another language, which answers requests beside each other. It lives as long as
// the tests, so that none of them waits for it to start.
type speaker struct {
	process *os.Process
	log     *servers.Log

	mu      sync.Mutex
	in      io.WriteCloser
	last    int64
	waiting map[int64]chan answer
	ended   chan struct{}
}

// request is what one client is to do; see clients/.
type request map[string]any

// answer is what became of it.
type answer struct {
	ID             int64
	Error, Message string // "" if all went well: the names of errors, from the first to its last cause
	Count          int64
	Steady         int64 // of Count, what came after the first skip milliseconds
	Millis         int64
	Nodes          []string
	Output         string
	Code           int
	Metrics        map[string]float64
	Lists          map[string][]string
}

func (a answer) err() error {
	if a.Error == "" {
		return nil
	}
	return &clientError{a.Error, a.Message, time.Duration(a.Millis) * time.Millisecond}
}

// clientError is an error as a client of another language names it.
type clientError struct {
	name, message string
	after         time.Duration
}

func (e *clientError) Error() string {
	return fmt.Sprintf("%s after %v: %s", e.name, e.after, e.message)
}

// startSpeaker starts a program, which ends when its input does: with this process at the latest.
func startSpeaker(command ...string) (*speaker, error) {
	log, err := servers.NewLog("")
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Stderr = log
	in, err1 := cmd.StdinPipe()
	out, err2 := cmd.StdoutPipe()
	if err := errors.Join(err1, err2, cmd.Start()); err != nil {
		return nil, fmt.Errorf("start %s: %w", command[0], err)
	}
	s := &speaker{process: cmd.Process, log: log, in: in, waiting: make(map[int64]chan answer), ended: make(chan struct{})}
	go func() {
		defer close(s.ended)
		s.listen(out)
		_ = cmd.Wait() // what it said last is in the log
	}()
	return s, nil
}

func (s *speaker) listen(out io.Reader) {
	lines := bufio.NewReader(out)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return
		}
		var a answer
		if json.Unmarshal(line, &a) != nil {
			continue // a library that prints
		}
		s.mu.Lock()
		if waiting := s.waiting[a.ID]; waiting != nil {
			waiting <- a
			delete(s.waiting, a.ID)
		}
		s.mu.Unlock()
	}
}

// ask has a request done.
func (s *speaker) ask(ctx context.Context, r request) (answer, error) {
	got := make(chan answer, 1)
	s.mu.Lock()
	s.last++
	r["id"] = s.last
	s.waiting[s.last] = got
	b, err := json.Marshal(r)
	if err == nil {
		_, err = s.in.Write(append(b, '\n'))
	}
	s.mu.Unlock()
	if err != nil {
		return answer{}, fmt.Errorf("ask the program: %w", err)
	}
	select {
	case a := <-got:
		return a, a.err()
	case <-s.ended:
		return answer{}, fmt.Errorf("the program ended:\n%s", s.log.Tail())
	case <-ctx.Done():
		return answer{}, fmt.Errorf("no answer from the program: %w", context.Cause(ctx))
	}
}

func (s *speaker) close() {
	s.mu.Lock()
	_ = s.in.Close()
	s.mu.Unlock()
	select {
	case <-s.ended:
	case <-time.After(30 * time.Second): // it is to end with its input, and what it was asked last
		_ = s.process.Kill()
		<-s.ended
	}
}

const clientsOfCompat = "../compat/clients/"

// running are the programs that were started.
var running struct {
	sync.Mutex
	all []*speaker
}

func once(start func() (*speaker, error)) func() (*speaker, error) {
	return sync.OnceValues(func() (*speaker, error) {
		s, err := start()
		if err == nil {
			running.Lock()
			running.all = append(running.all, s)
			running.Unlock()
		}
		return s, err
	})
}

var javaSpeaker = once(func() (*speaker, error) {
	tools, err := toolchain.Default(os.Stderr)
	if err != nil {
		return nil, err
	}
	classes, err := tools.JavaClasses(context.Background(), clientsOfCompat+"java/pom.xml", "clients/java/Clients.java", "clients/java/Acls.java")
	if err != nil {
		return nil, fmt.Errorf("set up the Java clients: %w", err)
	}
	return startSpeaker("java", "-Xmx1g", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData", "-Dorg.slf4j.simpleLogger.defaultLogLevel=error",
		"-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls="+tokens.url(), "-cp", classes, "Clients")
})

var librdkafkaSpeaker = once(func() (*speaker, error) {
	tools, err := toolchain.Default(os.Stderr)
	if err != nil {
		return nil, err
	}
	python, err := tools.PythonVenv(context.Background(), clientsOfCompat+"confluent/requirements.txt")
	if err != nil {
		return nil, fmt.Errorf("set up librdkafka: %w", err)
	}
	return startSpeaker(python, filepath.Join("clients", "confluent", "clients.py"))
})

func speakerOf(t *testing.T, start func() (*speaker, error)) *speaker {
	t.Helper()
	s, err := start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			tail := []byte(s.log.Tail())
			t.Logf("the program said:\n%s", bytes.TrimSpace(tail[max(0, len(tail)-3000):]))
		}
	})
	return s
}

func TestMain(m *testing.M) {
	tokens.open()
	code := m.Run()
	for _, s := range running.all {
		s.close()
	}
	tokens.close()
	os.Exit(code)
}
