// Package overlay changes Go's runtime, for one build of a test binary, so that a program that runs on one processor does
// the same each time: what is random in it follows from a seed, and no clock but that of synctest decides what runs next.
//
// The changes are made to copies of the files of the Go installation in use, and given to the go command with -overlay:
// the installation stays as it is, and no source of Go's is kept here. Each change names the text that it replaces; if an
// installation has another, Write fails, and somebody must look what became of it.
package overlay

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// Tag is the build tag of what needs the overlay.
const Tag = "simoverlay"

// change replaces a text that a file has exactly once.
type change struct {
	file     string // below GOROOT/src
	old, new string
}

// changes are for Go 1.26.
var changes = []change{
	// The state of all generators begins the same in each process.
	{"runtime/rand.go", "	seed := &globalRand.seed\n	if len(startupRand) >= 16 &&",
		"	seed := &globalRand.seed\n	seed[0] = 1\n	startupRand = nil\n	if true {\n	} else if len(startupRand) >= 16 &&"},
	// What a bubble draws comes from a generator (SplitMix64) that nobody else draws from, on whatever thread: the order of
	// maps, hashes, math/rand, the choice among ready cases of a select. What goroutines draw outside, such as the seeds of
	// hashes that packages make when they are initialised, comes from another: each thread has one of its own otherwise, and
	// on which of them a goroutine runs is a matter of chance.
	{"runtime/rand.go", "	mp := getg().m\n	c := &mp.chacha8\n",
		"	if inSim() {\n		return simRand()\n	}\n	if getg().m.curg != nil {\n		return simOutside()\n	}\n	mp := getg().m\n	c := &mp.chacha8\n"},
	{"runtime/rand.go", "// rand32 is uint32(rand()), called from compiler-generated code.\n", `var simState, simStateOutside uint64

// simSeed seeds what bubbles draw.
//
//go:linkname simSeed
func simSeed(seed uint64) { simState = seed }

//go:nosplit
func inSim() bool {
	gp := getg().m.curg
	return gp != nil && gp.bubble != nil
}

//go:nosplit
func simRand() uint64 {
	simState += 0x9e3779b97f4a7c15
	return simMix(simState)
}

//go:nosplit
func simOutside() uint64 { return simMix(atomic.Xadd64(&simStateOutside, 0x1e3779b97f4a7c15)) }

//go:nosplit
func simMix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

//go:nosplit
func simCheaprand() uint32 {
	if inSim() {
		return uint32(simRand())
	}
	return cheaprand()
}

//go:nosplit
func simCheaprandn(n uint32) uint32 {
	return uint32((uint64(simCheaprand()) * uint64(n)) >> 32)
}

// rand32 is uint32(rand()), called from compiler-generated code.
`},
	{"runtime/rand.go", "	\"internal/runtime/math\"\n", "	\"internal/runtime/atomic\"\n	\"internal/runtime/math\"\n"},
	{"runtime/select.go", "j := cheaprandn(uint32(norder + 1))", "j := simCheaprandn(uint32(norder + 1))"},
	{"runtime/sema.go", "s.ticket = cheaprand() | 1", "s.ticket = simCheaprand() | 1"},
	{"runtime/time.go", "t.rand = cheaprand()", "t.rand = uint32(simRand())"},
	// A mutex is handed over to who has waited for a millisecond: never, in a bubble.
	{"runtime/sema.go", "func internal_sync_nanotime() int64 {\n", "func internal_sync_nanotime() int64 {\n	if inSim() {\n		return 1\n	}\n"},
	// Time goes on while goroutines wait for a mutex that another holds as it waits for something itself, as franz-go's
	// clients do while they ask for a producer id.
	{"runtime/runtime2.go", "	waitReasonSyncCondWait:          true,\n",
		"	waitReasonSyncCondWait:          true,\n	waitReasonSyncMutexLock:         true,\n	waitReasonSyncRWMutexRLock:      true,\n	waitReasonSyncRWMutexLock:       true,\n"},
	// Connections of HTTP servers end in an order that does not depend on where they lie in memory.
	{"net/http/server.go", "	for c := range s.activeConn {\n		c.rwc.Close()\n", "	for _, c := range s.simConns() {\n		c.rwc.Close()\n"},
	{"net/http/server.go", "	for c := range s.activeConn {\n		st, unixSec := c.getState()\n", "	for _, c := range s.simConns() {\n		st, unixSec := c.getState()\n"},
	{"net/http/server.go", "func (s *Server) closeListenersLocked() error {\n", `func (s *Server) simConns() []*conn {
	all := slices.Collect(maps.Keys(s.activeConn))
	slices.SortFunc(all, func(a, b *conn) int { return strings.Compare(a.rwc.RemoteAddr().String(), b.rwc.RemoteAddr().String()) })
	return all
}

func (s *Server) closeListenersLocked() error {
`},
	// Contexts end in the order in which they were made, which does not depend on where they lie in memory either: what the
	// process has threads for takes memory, too.
	{"context/context.go", "	children map[canceler]struct{} //", "	children map[canceler]uint64 //"},
	{"context/context.go", "				p.children = make(map[canceler]struct{})\n", "				p.children = make(map[canceler]uint64)\n"},
	{"context/context.go", "			p.children[child] = struct{}{}\n", "			p.children[child] = simOrder.Add(1)\n"},
	{"context/context.go", "	for child := range c.children {\n", "	for _, child := range c.simChildren() {\n"},
	{"context/context.go", "	\"internal/reflectlite\"\n", "	\"internal/reflectlite\"\n	\"slices\"\n"},
	{"context/context.go", "// cancel closes c.done, cancels each of c's children, and, if\n", `var simOrder atomic.Uint64

func (c *cancelCtx) simChildren() []canceler {
	all := make([]canceler, 0, len(c.children))
	for child := range c.children {
		all = append(all, child)
	}
	slices.SortFunc(all, func(a, b canceler) int {
		if c.children[a] < c.children[b] {
			return -1
		}
		return 1
	})
	return all
}

// cancel closes c.done, cancels each of c's children, and, if
`},
	// Nobody is interrupted for having run for long, and a processor is not taken from who is in a system call.
	{"runtime/proc.go", "func retake(now int64) uint32 {\n	n := 0\n", "func retake(now int64) uint32 {\n	n := 0\n	if true {\n		return 0\n	}\n"},
	// New goroutines begin with a stack that most of them can do with. The collector, which would measure that, does not run.
	{"runtime/stack.go", "var startingStackSize uint32 = fixedStack", "var startingStackSize uint32 = 4 * fixedStack"},
	// Who has given up the processor runs when nobody else can, not whenever the number of switches, which counts those of
	// the runtime's own goroutines, is a multiple of 61.
	{"runtime/proc.go", "if pp.schedtick%61 == 0 && !sched.runq.empty() {", "if false {"},
}

// Write makes the changed files, of the installation at goroot, in a directory of their own below dir, and returns the file
// to name to -overlay. What is the same stays at the same place, so that the go command finds what it has built with it.
func Write(goroot, dir string) (string, error) {
	changed := make(map[string][]byte) // by path below goroot
	for _, c := range changes {
		path := filepath.Join(goroot, "src", filepath.FromSlash(c.file))
		text, ok := changed[path]
		if !ok {
			var err error
			if text, err = os.ReadFile(path); err != nil {
				return "", err
			}
		}
		if n := bytes.Count(text, []byte(c.old)); n != 1 {
			return "", fmt.Errorf("%s holds %q %d times, not once: the changes are for another version of Go", path, c.old, n)
		}
		changed[path] = bytes.Replace(text, []byte(c.old), []byte(c.new), 1)
	}
	sum := sha256.New()
	for _, path := range slices.Sorted(maps.Keys(changed)) {
		fmt.Fprintf(sum, "%s %d\n%s", path, len(changed[path]), changed[path])
	}
	dir = filepath.Join(dir, fmt.Sprintf("overlay-%x", sum.Sum(nil)[:8]))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	replace := make(map[string]string)
	for path, text := range changed {
		replace[path] = filepath.Join(dir, filepath.Base(path))
		if err := publish(replace[path], text); err != nil {
			return "", err
		}
	}
	list, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, "overlay.json")
	return file, publish(file, list)
}

// publish writes a file whole, since another process may build with it.
func publish(path string, text []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), "new-*")
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	return err
}
