package wire

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	runtimemetrics "runtime/metrics"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// fill sets every field of a kmsg struct to something random; arrays get up to two elements.
func fill(r *rand.Rand, v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if r.IntN(3) > 0 {
			v.Set(reflect.New(v.Type().Elem()))
			fill(r, v.Elem())
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[kmsg.Tags]() {
			if r.IntN(2) == 0 {
				v.Addr().Interface().(*kmsg.Tags).Set(77, []byte("unknown"))
			}
			return
		}
		for i := range v.NumField() {
			if v.Type().Field(i).Name != "Version" {
				fill(r, v.Field(i))
			}
		}
	case reflect.Slice:
		n := r.IntN(3)
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		for i := range n {
			fill(r, v.Index(i))
		}
	case reflect.Array:
		for i := range v.Len() {
			fill(r, v.Index(i))
		}
	case reflect.String:
		v.SetString(fmt.Sprintf("text-%d", r.IntN(1000)))
	case reflect.Bool:
		v.SetBool(r.IntN(2) == 0)
	case reflect.Uint8:
		v.SetUint(uint64(r.IntN(256)))
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(int64(r.IntN(100)))
	}
}

func TestShapesAgreeWithKmsgAtEveryVersion(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for key := range shapes {
		req := kmsg.RequestForKey(key)
		for version := range req.MaxVersion() + 1 {
			if key == apiVersionsKey && version > 4 {
				continue
			}
			for range 30 {
				req := kmsg.RequestForKey(key)
				fill(r, reflect.ValueOf(req).Elem())
				req.SetVersion(version)
				body := req.AppendTo(nil)
				if err := checkShape(key, version, req.IsFlexible(), body); err != nil {
					t.Fatalf("%s v%d: %v\n%+v", kmsg.NameForKey(key), version, err, req)
				}
				if len(body) > 0 {
					if err := checkShape(key, version, req.IsFlexible(), body[:len(body)-1]); err == nil {
						t.Fatalf("%s v%d: accepted without its last byte", kmsg.NameForKey(key), version)
					}
				}
				if err := checkShape(key, version, req.IsFlexible(), append(body, 0)); err == nil {
					t.Fatalf("%s v%d: accepted with a byte too many", kmsg.NameForKey(key), version)
				}
			}
		}
	}
}

func TestShapeRefusesClaims(t *testing.T) {
	huge := []byte{0xff, 0xff, 0xff, 0xff, 0x0f}
	millions := append([]byte{0, 0x20, 0, 0}, make([]byte, 0x200000)...)
	cases := map[string]struct {
		key, version int16
		body         []byte
	}{
		"array longer than the frame":     {3, 1, []byte{0x7f, 0xff, 0xff, 0xff}},
		"array of negative length":        {3, 1, []byte{0x80, 0, 0, 0}},
		"compact array of 2^32 elements":  {3, 9, append(huge, 0)},
		"2^32 tagged fields":              {18, 3, append([]byte{1, 1}, huge...)},
		"tagged field beyond the frame":   {18, 3, []byte{1, 1, 1, 5, 100}},
		"string of negative length":       {10, 0, []byte{0xff, 0xfe}},
		"varint without end":              {18, 3, []byte{0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80}},
		"two million elements":            {20, 1, append(millions, 0, 0, 0, 0)},
		"2^32 fields inside a tagged one": {1, 17, append([]byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 17, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, huge...)},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			req := kmsg.RequestForKey(c.key)
			req.SetVersion(c.version)
			if err := checkShape(c.key, c.version, req.IsFlexible(), c.body); err == nil {
				t.Fatal("accepted")
			}
		})
	}
}

// A row of an answer takes 88 bytes and the text of its error, and a partition of a request six bytes if it has no records.
func TestProduceOfMorePartitionsThanCanHaveRecordsIsRefused(t *testing.T) {
	request := func(version int16, topics, partitions, size int) []byte {
		req := kmsg.NewPtrProduceRequest()
		req.SetVersion(version)
		for range topics {
			topic := kmsg.NewProduceRequestTopic()
			topic.Topic = "t"
			for range partitions {
				p := kmsg.NewProduceRequestTopicPartition()
				p.Records = make([]byte, size)
				topic.Partitions = append(topic.Partitions, p)
			}
			req.Topics = append(req.Topics, topic)
		}
		return req.AppendTo(nil)
	}
	const leastBatch = 61 + 7 // a header, and a record of nothing
	for _, version := range []int16{3, 9, 13} {
		for _, c := range []struct {
			topics, partitions, size int
			taken                    bool
		}{
			{1, 100_000, leastBatch, true},
			{50_000, 1, leastBatch, true},
			{1, 900, 0, true},
			{1, 100_000, 0, false},
			{1, 1 << 19, 4, false},
		} {
			err := checkShape(0, version, version >= 9, request(version, c.topics, c.partitions, c.size))
			if taken := err == nil; taken != c.taken {
				t.Errorf("v%d, %d topics of %d partitions with %d bytes: %v", version, c.topics, c.partitions, c.size, err)
			}
		}
	}
}

func FuzzDecode(f *testing.F) {
	for key := range shapes {
		req := kmsg.RequestForKey(key)
		for _, version := range []int16{0, req.MaxVersion() / 2, req.MaxVersion()} {
			req.SetVersion(version)
			frame := kmsg.NewRequestFormatter(kmsg.FormatterClientID("fuzz")).AppendRequest(nil, req, 7)
			f.Add(frame[4:])
		}
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		if len(frame) < headerPrefix {
			return
		}
		h := parseHeader(frame)
		req := kmsg.RequestForKey(h.key)
		if req == nil || h.version < 0 || h.version > req.MaxVersion() {
			return
		}
		before := allocated()
		_, body, err := decode(h, frame[headerPrefix:])
		if n := allocated() - before; n > uint64(200*len(frame)+1<<20) {
			t.Fatalf("%s v%d: %d bytes were allocated for %d", kmsg.NameForKey(h.key), h.version, n, len(frame))
		}
		if err != nil {
			return
		}
		// What was accepted can be encoded, and is accepted again.
		again := body.AppendTo(nil)
		if err := checkShape(h.key, h.version, body.IsFlexible(), again); err != nil && h.key != apiVersionsKey {
			t.Fatalf("%s v%d: %v", kmsg.NameForKey(h.key), h.version, err)
		}
	})
}

// allocated is the sum of all that was ever allocated.
func allocated() uint64 {
	sample := []runtimemetrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	runtimemetrics.Read(sample)
	return sample[0].Value.Uint64()
}
