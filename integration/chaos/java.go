package chaos

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/runnel-io/runnel/integration/history"
	"github.com/runnel-io/runnel/integration/servers"
	"github.com/runnel-io/runnel/integration/toolchain"
)

// jvm is a process in which workers use Kafka's own clients, as they are told. Since it is asked and answers, moments are
// those of one clock, and no operation seems shorter than it was.
type jvm struct {
	recorder *history.Recorder
	proc     *servers.Process

	writing sync.Mutex
	in      io.Writer

	mu      sync.Mutex
	answers map[string]chan string // by worker
}

// answerTimeout is more than any call of a client with the settings of the program lasts.
const answerTimeout = 40 * time.Second

var errNoAnswer = errors.New("the Java client does not return")

// startJVM starts the process, which ends with the test.
func startJVM(t testing.TB, bootstrap string, recorder *history.Recorder, dir string) *jvm {
	t.Helper()
	cache, err := toolchain.Default(os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	classes, err := cache.JavaClasses(t.Context(), "../compat/clients/java/pom.xml", "clients/java/Participant.java")
	if err != nil {
		t.Fatalf("the Java program cannot be set up: %v", err)
	}
	log, err := servers.NewLog(filepath.Join(dir, "java.log"))
	if err != nil {
		t.Fatal(err)
	}
	ask, in, errIn := os.Pipe()
	out, answer, errOut := os.Pipe()
	if err := errors.Join(errIn, errOut); err != nil {
		t.Fatal(err)
	}
	// A shell puts the answers on a descriptor of their own: standard output and error are the log's.
	cmd := exec.Command("sh", "-c", `exec "$@" >&3`, "sh",
		"java", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData", "-Dorg.slf4j.simpleLogger.defaultLogLevel=error",
		"-cp", classes, "Participant", bootstrap)
	cmd.Stdin, cmd.ExtraFiles = ask, []*os.File{answer}
	j := &jvm{recorder: recorder, in: in, answers: make(map[string]chan string)}
	if j.proc, err = servers.Start("java", cmd, syscall.SIGKILL, log); err != nil {
		t.Fatal(err)
	}
	ask.Close()
	answer.Close()
	read := make(chan struct{})
	go func() {
		defer close(read)
		j.listen(out)
	}()
	t.Cleanup(func() {
		j.proc.Stop(syscall.SIGKILL, time.Minute)
		<-read
		in.Close()
		out.Close()
		log.Close()
		if t.Failed() {
			t.Logf("the Java clients said:\n%s", tail(log.Tail(), 20))
		}
	})
	return j
}

// tail is the last lines.
func tail(text string, n int) string {
	lines := strings.Split(text, "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

func (j *jvm) listen(out io.Reader) {
	lines := bufio.NewReader(out)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return
		}
		worker, answer, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		select {
		case j.channel(worker) <- answer:
		default: // it was given up
		}
	}
}

func (j *jvm) channel(worker string) chan string {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.answers[worker] == nil {
		j.answers[worker] = make(chan string, 1)
	}
	return j.answers[worker]
}

// ask has a worker do something, and returns the words of its answer.
func (j *jvm) ask(worker int, command string, args ...string) ([]string, error) {
	name := strconv.Itoa(worker)
	j.writing.Lock()
	_, err := fmt.Fprintln(j.in, strings.Join(append([]string{name, command}, args...), " "))
	j.writing.Unlock()
	if err != nil {
		return nil, err
	}
	select {
	case answer := <-j.channel(name):
		words := strings.Fields(answer)
		if words[0] != "ok" {
			return nil, errors.New(strings.TrimPrefix(answer, "error "))
		}
		return words[1:], nil
	case <-j.proc.Exited():
		return nil, errors.New("the Java process ended")
	case <-time.After(answerTimeout):
		return nil, errNoAnswer
	}
}

// javaLoad is what the workers of a jvm do.
type javaLoad struct {
	*jvm
	seed       uint64
	topic      string
	partitions int32
}

// firstJavaWorker and firstJavaValue are beyond those of the other workers.
const (
	firstJavaWorker = 1000
	firstJavaValue  = int64(1) << 40
)

// run has two transactional producers, one that is only idempotent and a reader of each isolation work until ctx ends.
func (l *javaLoad) run(ctx context.Context) error {
	var workers sync.WaitGroup
	errs := make([]error, 5)
	for i := range errs {
		w := &javaWorker{javaLoad: l, number: firstJavaWorker + i, rng: rand.New(rand.NewPCG(l.seed, uint64(100+i)))}
		w.value = firstJavaValue + int64(i)<<32
		workers.Go(func() {
			do := []func(context.Context) error{w.transact, w.transact, w.produce, w.read(history.ReadCommitted), w.read(history.ReadUncommitted)}[i]
			for ctx.Err() == nil && errs[i] == nil {
				if errs[i] = do(ctx); errors.Is(errs[i], errNoAnswer) {
					errs[i] = fmt.Errorf("worker %d: %w within %v", w.number, errNoAnswer, answerTimeout)
				}
			}
		})
	}
	workers.Wait()
	return errors.Join(errs...)
}
