package fuzztest

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"os"
	"reflect"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	lookAtAll  = 64     // requests, after which all of the witness's log is read
	cleanAfter = 1000   // after which what piled up is put away
	renewAfter = 20_000 // after which a fuzz worker takes a new broker: topics, groups and objects pile up rightly
)

// An exchange may allocate so much, so much for each byte that it sends (rows of answers, texts of errors), and what records
// take that are read ahead of a consumer, or decompressed for a topic that wants them compressed anew.
const (
	mayAllocate        = 32 << 20
	mayAllocatePerByte = 400
	recordsMayAllocate = 256 << 20
)

const lastCorrelation = 1 << 30

// compose makes the bytes to send from a script: a request to the route, as it should be or not, and others.
func (w *world) compose(r route, s *script) (stream []byte, cut bool) {
	mode := s.below(8)
	req := w.example(r.key, r.version)
	if mode >= 1 && mode != 4 {
		w.senseless(s, req)
	}
	stream = encode(s, req, 1)
	if mode >= 4 {
		other := choose(s, w.routes)
		stream = harm(s, stream, encode(new(script), w.example(other.key, other.version), 2))
	}
	if mode >= 6 {
		for i := range 1 + s.below(4) {
			other := choose(s, w.routes)
			req := w.example(other.key, other.version)
			if s.oneIn(2) {
				w.senseless(s, req)
			}
			stream = append(stream, encode(s, req, int32(10+i))...)
		}
		if s.oneIn(4) {
			return stream[:s.below(len(stream))], true
		}
	}
	// A request to which there is an answer always: all before it have been answered by then, or none will be.
	last := kmsg.NewPtrApiVersionsRequest()
	return append(stream, encode(new(script), last, lastCorrelation)...), false
}

// play sends a stream and checks what has to hold after it, whatever it was.
func (w *world) play(stream []byte, cut bool) (outcome, error) {
	before := allocated()
	o, err := w.exchange(stream, cut)
	if err != nil {
		return o, err
	}
	limit := mayAllocate + mayAllocatePerByte*uint64(len(stream))
	if o.records {
		limit += recordsMayAllocate
	}
	if o.topics { // there may rightly be some of very many partitions
		limit += mayAllocatePerByte * uint64(o.received)
	}
	if n := allocated() - before; n > limit {
		return o, fmt.Errorf("%d bytes were allocated for %d", n, len(stream))
	}
	if err := w.errors.err(); err != nil {
		return o, err
	}
	w.played++
	if err := w.witness.look(w.played%lookAtAll == 0); err != nil {
		return o, fmt.Errorf("witness: %w", err)
	}
	if w.played%cleanAfter == 0 {
		return o, w.clean()
	}
	return o, nil
}

// worker is what plays the inputs of a fuzzing process, on a broker that it has opened.
type worker struct{ world *world }

func newWorker(tb testing.TB) *worker {
	k := new(worker)
	k.renew(tb)
	tb.Cleanup(func() {
		if err := k.world.close(); err != nil {
			tb.Error(err)
		}
	})
	return k
}

func (k *worker) renew(tb testing.TB) {
	tb.Helper()
	if k.world != nil {
		if err := k.world.close(); err != nil {
			tb.Error(err)
		}
	}
	var err error
	if k.world, err = openWorld(); err != nil {
		tb.Fatal(err)
	}
}

func (k *worker) play(tb testing.TB, stream []byte, cut bool) {
	tb.Helper()
	if _, err := k.world.play(stream, cut); err != nil {
		tb.Errorf("sent\n%x\ncut: %v\n%v", stream[:min(len(stream), 4096)], cut, err)
		k.renew(tb)
	}
	if k.world.played >= renewAfter {
		k.renew(tb)
	}
}

// FuzzLiveRequest looks for scripts that make a broker break a promise.
func FuzzLiveRequest(f *testing.F) {
	k := newWorker(f)
	for _, r := range k.world.routes {
		f.Add(r.key, r.version, []byte{})
	}
	for mode := range byte(8) {
		for _, key := range []int16{0, 1, 11, 19, 28, 44, 68} {
			f.Add(key, k.world.served[key].max, []byte{mode, 3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9, 3, 2, 3, 8, 4, 6, 2, 6, 4, 3, 3, 8, 3, 2, 7, 9, 5})
		}
	}
	f.Fuzz(func(t *testing.T, key, version int16, text []byte) {
		r := route{key, version}
		if v, ok := k.world.served[key]; !ok || version < v.min || version > v.max {
			r = k.world.routes[int(uint16(key^version*31))%len(k.world.routes)]
		}
		stream, cut := k.world.compose(r, &script{text})
		k.play(t, stream, cut)
	})
}

// FuzzLiveBytes looks for bytes that do, beginning with right requests.
func FuzzLiveBytes(f *testing.F) {
	k := newWorker(f)
	for _, r := range k.world.routes {
		f.Add(encode(new(script), k.world.example(r.key, r.version), 1))
	}
	f.Fuzz(func(t *testing.T, stream []byte) { k.play(t, stream, false) })
}

// TestSpoiltRequestsFitIntoMemory: a list of lists, each of long names, all repeated, made requests of gigabytes.
func TestSpoiltRequestsFitIntoMemory(t *testing.T) {
	w := new(world)
	req := kmsg.NewPtrTxnOffsetCommitRequest()
	req.SetVersion(3)
	req.Topics = []kmsg.TxnOffsetCommitRequestTopic{{Topic: strings.Repeat("x", 32767), Partitions: make([]kmsg.TxnOffsetCommitRequestTopicPartition, 1)}}
	most := []byte{4, 3} // many times, 20,000
	w.spoilList(&script{most}, reflect.ValueOf(&req.Topics[0].Partitions).Elem())
	w.spoilList(&script{most}, reflect.ValueOf(&req.Topics).Elem())
	if n := len(encode(new(script), req, 1)); n < maxControl || n > 2*maxControl {
		t.Errorf("%d bytes, want a little more than %d", n, maxControl)
	}
}

// TestRightRequestsOfEveryVersionAreTaken is what the rest stands on: what is spoilt was right before.
func TestRightRequestsOfEveryVersionAreTaken(t *testing.T) {
	w := newWorker(t).world
	w.wait = patience
	refusals := map[int16]string{-1: "UNKNOWN_SERVER_ERROR", 2: "CORRUPT_MESSAGE", 35: "UNSUPPORTED_VERSION", 42: "INVALID_REQUEST", 87: "INVALID_RECORD"}
	for _, r := range w.routes {
		stream, _ := w.compose(r, new(script))
		o, err := w.play(stream, false)
		switch {
		case err != nil:
			t.Fatalf("%s: %v", r, err)
		case o.answered != 2:
			t.Errorf("%s: %+v, want two answers", r, o)
			continue
		}
		for _, code := range codes(o.first) {
			if refusals[code] != "" {
				t.Errorf("%s is refused with %s: %+v", r, refusals[code], o.first)
			}
			t.Logf("%s: error %d", r, code)
		}
	}
	if len(w.served) < 40 || len(w.routes) < 200 {
		t.Errorf("%d keys, %d versions of them: the broker says too little of what it serves", len(w.served), len(w.routes))
	}
}

// TestHostileRequestsHarmNobody plays random scripts on every key and version. RUNNEL_FUZZ_SEED repeats a run,
// RUNNEL_FUZZ_TIME makes a longer one.
func TestHostileRequestsHarmNobody(t *testing.T) {
	seed := rand.Uint64()
	if text := os.Getenv("RUNNEL_FUZZ_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	var until time.Time
	if text := os.Getenv("RUNNEL_FUZZ_TIME"); text != "" {
		d, err := time.ParseDuration(text)
		if err != nil {
			t.Fatal(err)
		}
		until = time.Now().Add(d)
	}
	t.Logf("RUNNEL_FUZZ_SEED=%d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	k := newWorker(t)
	taken, refused := make(map[route]int), 0
	begun, played := time.Now(), 0
	for round := 0; round < 4 || time.Now().Before(until); round++ {
		for _, r := range k.world.routes {
			text := make([]byte, 1+random.IntN(200))
			for i := range text {
				text[i] = byte(random.Uint32())
			}
			text[0] = byte(2*round) | text[0]&1 // each mode
			w := k.world
			stream, cut := w.compose(r, &script{bytes.Clone(text)})
			sent := time.Now()
			o, err := w.play(stream, cut)
			if took := time.Since(sent); took > 5*time.Second {
				t.Logf("%s, script %s took %v", r, hex.EncodeToString(text), took)
			}
			if err != nil {
				t.Fatalf("%s, script %s\nsent (cut: %v)\n%x\n%v", r, hex.EncodeToString(text), cut, stream[:min(len(stream), 4096)], err)
			}
			if o.answered > 0 || o.waited {
				taken[r]++
			}
			if o.closed {
				refused++
			}
			if played++; w.played >= renewAfter {
				k.renew(t)
			}
		}
	}
	if err := k.world.clean(); err != nil {
		t.Error(err)
	}
	for _, r := range k.world.routes {
		if taken[r] == 0 {
			t.Errorf("no request of %s was looked at", r)
		}
	}
	if refused < played/20 {
		t.Errorf("%d of %d connections were closed: too little was malformed", refused, played)
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	t.Logf("%d bytes held, %d were taken from the system", m.HeapAlloc, m.Sys)
	t.Logf("%d exchanges in %v, %d closed", played, time.Since(begun).Round(time.Millisecond), refused)
}
