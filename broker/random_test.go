package broker

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestRandomRequestsAreAnswered sends well-formed requests with senseless values: whatever they hold, there is an
// answer that decodes at their version, and the connection lives on. Produce, Fetch and ListOffsets have tests of their
// own.
func TestRandomRequestsAreAnswered(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	h := newHarness(t, nil, 2)
	known := h.topic("text-1", 3, 1)
	for range 100 {
		for _, a := range h.broker.apis() {
			if a.key <= 2 {
				continue
			}
			req := kmsg.RequestForKey(a.key)
			fillRandomly(r, reflect.ValueOf(req).Elem(), known.ID)
			req.SetVersion(a.min + int16(r.IntN(int(a.max-a.min)+1)))
			h.ask(req)
		}
	}
}

func fillRandomly(r *rand.Rand, v reflect.Value, id [16]byte) {
	switch v.Kind() {
	case reflect.Pointer:
		if r.IntN(3) > 0 {
			v.Set(reflect.New(v.Type().Elem()))
			fillRandomly(r, v.Elem(), id)
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[kmsg.Tags]() {
			return
		}
		for i := range v.NumField() {
			if v.Type().Field(i).Name != "Version" {
				fillRandomly(r, v.Field(i), id)
			}
		}
	case reflect.Slice:
		if r.IntN(4) == 0 {
			return // null, where the protocol has it
		}
		n := r.IntN(4)
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		for i := range n {
			fillRandomly(r, v.Index(i), id)
		}
	case reflect.Array:
		if r.IntN(2) == 0 {
			v.Set(reflect.ValueOf(id))
		}
	case reflect.String:
		v.SetString([]string{"", "range", "text-1", "cleanup.policy", "..", "\x00\xff", fmt.Sprintf("text-%d", r.IntN(100))}[r.IntN(7)])
	case reflect.Bool:
		v.SetBool(r.IntN(2) == 0)
	case reflect.Uint8:
		v.SetUint(uint64(r.IntN(256)))
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt([]int64{-1 << 31, -2, -1, 0, 1, 2, 3, 50, 1 << 30}[r.IntN(9)])
		if v.Type() == reflect.TypeFor[kmsg.ConfigResourceType]() {
			v.SetInt([]int64{0, 2, 4}[r.IntN(3)])
		}
	}
}
