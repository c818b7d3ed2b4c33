package compat

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// groupMember is a consumer in a process of its own that tells what happens to it.
type groupMember struct {
	t     *testing.T
	name  string
	cmd   *exec.Cmd
	stdin io.Closer
	done  chan struct{}

	mu      sync.Mutex
	has     []string            // partitions, sorted
	changes int                 // of has
	lost    int                 // times that it lost partitions without having given them up
	read    map[string][]string // offsets, by partition
	news    chan struct{}       // closed when anything changes
}

// consumerProtocol are the settings of a client that uses the protocol of KIP-848.
var consumerProtocol = []string{"group.protocol=consumer"}

// startMember starts a client ("java" or "confluent") that subscribes to a topic, or to ~EXPRESSION.
func startMember(t *testing.T, client, bootstrap, group, subscription string, settings ...string) *groupMember {
	t.Helper()
	m := &groupMember{
		t: t, name: client, done: make(chan struct{}), read: make(map[string][]string), news: make(chan struct{}),
	}
	args := slices.Concat(clients(t).members[client], []string{bootstrap, group, subscription}, settings)
	m.cmd = exec.Command(args[0], args[1:]...) //nolint:noctx // ended by close or kill
	m.cmd.Stderr = os.Stderr
	out, err := m.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if m.stdin, err = m.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := m.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(m.done)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			m.heard(lines.Text())
		}
		_ = m.cmd.Wait()
	}()
	t.Cleanup(m.kill)
	return m
}

func (m *groupMember) heard(line string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	words := strings.Fields(line)
	if len(words) == 0 {
		return
	}
	switch words[0] {
	case "r":
		m.read[words[1]] = append(m.read[words[1]], words[2])
	case "+":
		m.has = append(m.has, words[1:]...)
	case "-", "!":
		m.has = slices.DeleteFunc(m.has, func(p string) bool { return slices.Contains(words[1:], p) })
	}
	if words[0] != "r" {
		slices.Sort(m.has)
		if len(words) > 1 {
			m.changes++
		}
		if words[0] == "!" {
			m.lost++
		}
	}
	close(m.news)
	m.news = make(chan struct{})
}

// await waits until the member's state is as wanted.
func (m *groupMember) await(what string, wanted func() bool) {
	m.t.Helper()
	late := time.After(60 * time.Second)
	for {
		m.mu.Lock()
		ok, news := wanted(), m.news
		has := slices.Clone(m.has)
		m.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-news:
		case <-m.done:
			m.t.Fatalf("%s ended while waiting for: %s", m.name, what)
		case <-late:
			m.t.Fatalf("%s has %v; waited a minute for: %s", m.name, has, what)
		}
	}
}

// awaitPartitions waits until the member has a number of partitions.
func (m *groupMember) awaitPartitions(n int) {
	m.t.Helper()
	m.await(fmt.Sprintf("%d partitions", n), func() bool { return len(m.has) == n })
}

// assigned returns what the member has, and how often that changed.
func (m *groupMember) assigned() (has []string, changes int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.has), m.changes
}

// count is how many records the member has read.
func (m *groupMember) count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.counted()
}

func (m *groupMember) counted() (n int) {
	for _, offsets := range m.read {
		n += len(offsets)
	}
	return n
}

// close lets the member leave its group, and waits for its end.
func (m *groupMember) close() {
	m.t.Helper()
	_ = m.stdin.Close()
	select {
	case <-m.done:
	case <-time.After(30 * time.Second):
		m.t.Errorf("%s does not leave", m.name)
		m.kill()
	}
}

// kill ends the member without a farewell.
func (m *groupMember) kill() {
	_ = m.cmd.Process.Kill()
	<-m.done
}
