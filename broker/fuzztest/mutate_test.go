package fuzztest

import (
	"bytes"
	"reflect"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// senseless changes fields of a right request to what no client would send, and the protocol can carry.
func (w *world) senseless(s *script, req kmsg.Request) {
	version := req.GetVersion()
	for range 1 + s.below(4) {
		var fields []reflect.Value
		collect(reflect.ValueOf(req).Elem(), &fields)
		if len(fields) > 0 {
			w.spoil(s, choose(s, fields))
		}
	}
	req.SetVersion(version)
	if produce, ok := req.(*kmsg.ProduceRequest); ok {
		w.spoilProduce(s, produce)
	}
}

// spoilProduce puts damaged batches where damaging fields left some.
func (w *world) spoilProduce(s *script, req *kmsg.ProduceRequest) {
	for i := range req.Topics {
		if i < 8 && s.oneIn(2) {
			topic := choose(s, w.topics)
			if len(req.Topics[i].Partitions) > 100 { // to compress a batch anew takes a megabyte, for a moment
				topic = w.topics[0]
			}
			req.Topics[i].Topic, req.Topics[i].TopicID = topic.name, topic.id
		}
		for j := range req.Topics[i].Partitions {
			if j < 8 && !s.oneIn(4) {
				req.Topics[i].Partitions[j].Records = w.batch(s)
			}
		}
	}
	if s.oneIn(4) {
		id := transactionalID
		req.TransactionID = &id
	}
}

// collect finds the fields of a struct and of what is in it: of a long list, those of its first elements.
func collect(v reflect.Value, fields *[]reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[kmsg.Tags]() {
			*fields = append(*fields, v)
			return
		}
		for i := range v.NumField() {
			if v.Type().Field(i).Name != "Version" {
				collect(v.Field(i), fields)
			}
		}
		return
	case reflect.Pointer:
		if v.Type().Elem().Kind() == reflect.Struct && !v.IsNil() {
			collect(v.Elem(), fields)
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() != reflect.Uint8 {
			for i := range min(v.Len(), 3) {
				collect(v.Index(i), fields)
			}
		}
	}
	*fields = append(*fields, v)
}

func (w *world) spoil(s *script, v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if s.oneIn(2) {
			v.SetZero()
			return
		}
		v.Set(reflect.New(v.Type().Elem()))
		if v.Elem().Kind() != reflect.Struct {
			w.spoil(s, v.Elem())
		}
	case reflect.Struct: // tags that nobody knows
		for range 1 + s.below(3) {
			v.Addr().Interface().(*kmsg.Tags).Set(uint32(s.below(1<<16)), s.take(s.below(64)))
		}
	case reflect.Slice:
		w.spoilList(s, v)
	case reflect.Array:
		for i := range v.Len() {
			v.Index(i).SetUint(uint64(s.byte()))
		}
	case reflect.String:
		v.SetString(w.text(s))
	case reflect.Bool:
		v.SetBool(!v.Bool())
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		bits := 64 - v.Type().Bits()
		v.SetInt(s.number() << bits >> bits)
	}
}

// maxRepeated bounds what is made of one element: more than a frame other than Produce's may have, so that there are some
// which are too large, and not so much that the memory of this process is all that is tried.
const maxRepeated = maxControl + 4<<20

// weight is about how many bytes a value takes in a request.
func weight(v reflect.Value) int {
	switch v.Kind() {
	case reflect.Struct:
		n := 1
		for i := range v.NumField() {
			if v.Type() != reflect.TypeFor[kmsg.Tags]() {
				n += weight(v.Field(i))
			}
		}
		return n
	case reflect.Pointer:
		if v.IsNil() {
			return 1
		}
		return weight(v.Elem())
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return 4 + v.Len()
		}
		n := 4
		for i := range v.Len() {
			n += weight(v.Index(i))
		}
		return n
	case reflect.String:
		return 2 + v.Len()
	}
	return int(v.Type().Size())
}

func (w *world) spoilList(s *script, v reflect.Value) {
	if v.Type().Elem().Kind() == reflect.Uint8 {
		v.SetBytes(damage(s, v.Bytes()))
		return
	}
	switch s.below(6) {
	case 0:
		v.SetZero()
	case 1:
		v.Set(reflect.MakeSlice(v.Type(), 0, 0))
	case 2, 3: // the same again
		if v.Len() > 0 {
			v.Set(reflect.AppendSlice(v, v.Slice(0, 1)))
		}
	case 4: // many times
		if n := choose(s, []int{10, 100, 2000, 20_000}); v.Len() > 0 {
			many := reflect.MakeSlice(v.Type(), min(n, 1+maxRepeated/weight(v.Index(0))), 20_000)
			for i := range many.Len() {
				many.Index(i).Set(v.Index(0))
			}
			v.Set(many)
		}
	case 5: // one more that is different
		one := reflect.New(v.Type().Elem()).Elem()
		if d, ok := one.Addr().Interface().(interface{ Default() }); ok {
			d.Default()
		}
		var fields []reflect.Value
		collect(one, &fields)
		for _, f := range fields {
			w.spoil(s, f)
		}
		v.Set(reflect.Append(v, one))
	}
}

// text is a name of something that is there, or would be odd. It never names the witness's, nor a setting that would
// rightly shut clients out.
func (w *world) text(s *script) string {
	switch s.below(12) {
	case 0:
		return choose(s, w.topics).name
	case 1:
		return w.group
	case 2:
		return w.member
	case 3:
		return transactionalID
	case 4:
		return consumerMember
	case 5:
		return choose(s, []string{freshTopic, idleGroup, consumerGroupName, "joined", "static", "range", "uniform", "consumer", "connect", "1", "0", "-1"})
	case 6:
		return choose(s, []string{"cleanup.policy", "compact", "delete", "max.message.bytes", "compression.type", "producer", "message.timestamp.type", "segment.bytes",
			"retention.ms", "consumer.session.timeout.ms", "interval.ms", "match", "metrics", "client_id=(a|b", "log.retention.ms", "root", "DEBUG"})
	case 7:
		return choose(s, []string{"", ".", "..", "__consumer_offsets", "__transaction_state", "__cluster_metadata", "a/b", "\x00", "\xff\xfe", "ü", "transaction.version", "group.version", "memory://"})
	case 8:
		return choose(s, []string{".*", "(", "((a*)*)*b", "[[:word:]]", strings.Repeat("(", 2000), strings.Repeat("a?", 1000), "(a{1000}){1000}", `\pL{100}`})
	case 9:
		return strings.Repeat(choose(s, []string{"x", "\x00", "(", "."}), choose(s, []int{249, 250, 255, 256, 8192, 32767}))
	}
	return string(s.take(s.below(64)))
}

// encode makes the frame of a request.
func encode(s *script, req kmsg.Request, correlation int32) []byte {
	format := kmsg.NewRequestFormatter(kmsg.FormatterClientID("fuzz"))
	switch s.below(20) {
	case 18:
		format = kmsg.NewRequestFormatter()
	case 19:
		format = kmsg.NewRequestFormatter(kmsg.FormatterClientID(strings.Repeat("i", s.below(32768))))
	}
	return format.AppendRequest(nil, req, correlation)
}

// resize writes the size of a frame that was damaged behind it.
func resize(frame []byte) []byte {
	if len(frame) < 4 {
		return frame
	}
	return append(size(len(frame)-4), frame[4:]...)
}

func size(n int) []byte { return []byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)} }

// harm damages a frame as bytes: most often so that it stays one frame, for otherwise the size alone is what the broker
// looks at.
func harm(s *script, frame, other []byte) []byte {
	switch s.below(12) {
	case 0, 1, 2, 3, 4: // the body
		body := min(len(frame), 4+8+s.below(24))
		return resize(append(frame[:body:body], damage(s, frame[body:])...))
	case 5, 6: // anything behind the size
		return resize(append(frame[:4:4], damage(s, frame[4:])...))
	case 7: // another key or version
		b := bytes.Clone(frame)
		n := uint16(s.number())
		at := 4 + 2*s.below(2)
		b[at], b[at+1] = byte(n>>8), byte(n)
		return b
	case 8: // the client id's length
		b := bytes.Clone(frame)
		n := uint16(s.number())
		copy(b[12:], []byte{byte(n >> 8), byte(n)})
		return b
	case 9: // the head of one and the tail of the other
		return resize(append(frame[:s.below(len(frame)):len(frame)], other[s.below(len(other)):]...))
	case 10: // the size
		n := int(int32(s.number()))
		if s.oneIn(2) {
			n = len(frame) - 4 + s.below(64) - 32
		}
		return append(size(n), frame[4:]...)
	}
	return damage(s, frame)
}
