package group

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"hash/crc32"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
)

func sampleRecord() record {
	return record{
		Generation: 300, ProtocolType: "consumer", Protocol: "range", Leader: "a-1",
		Members: []recordMember{
			{
				ID: "a-1", ClientID: "a", ClientHost: "/127.0.0.1", SessionTimeout: 45 * time.Second, RebalanceTimeout: 5 * time.Minute,
				Protocols: []Protocol{{"range", []byte{0, 1, 2}}, {"sticky", nil}}, Assignment: []byte{0, 0, 0xff},
			},
			{
				ID: "i-2", InstanceID: "i", ClientID: "b", ClientHost: "/::1", SessionTimeout: 6 * time.Second, RebalanceTimeout: time.Millisecond,
				Protocols: []Protocol{{"range", []byte("m")}},
			},
		},
	}
}

// TestRecordGolden holds the encoding against bytes that were written once: they are never regenerated.
func TestRecordGolden(t *testing.T) {
	text, err := os.ReadFile("testdata/record-v1.hex")
	if err != nil {
		t.Fatal(err)
	}
	golden, err := hex.DecodeString(strings.Join(strings.Fields(string(text)), ""))
	if err != nil {
		t.Fatal(err)
	}
	sample := sampleRecord()
	if got := sample.encode(); !bytes.Equal(got, golden) {
		t.Errorf("encoded %x, want %x", got, golden)
	}
	got, err := decodeRecord(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, sample) {
		t.Errorf("decoded %+v, want %+v", got, sample)
	}
}

func TestRecordRefusesWhatIsNotARecord(t *testing.T) {
	sample := sampleRecord()
	good := sample.encode()
	for i := range good {
		if _, err := decodeRecord(good[:i]); !errors.Is(err, errCorrupt) {
			t.Errorf("first %d bytes: %v", i, err)
		}
		bad := bytes.Clone(good)
		bad[i] ^= 0x40
		if _, err := decodeRecord(bad); !errors.Is(err, errCorrupt) {
			t.Errorf("byte %d changed: %v", i, err)
		}
	}
	for name, spoil := range map[string]func(*record){
		"member twice":     func(r *record) { r.Members[1].ID = r.Members[0].ID },
		"instance twice":   func(r *record) { r.Members[0].InstanceID = r.Members[1].InstanceID },
		"no member id":     func(r *record) { r.Members[0].ID = "" },
		"no session":       func(r *record) { r.Members[0].SessionTimeout = 0 },
		"no rebalance":     func(r *record) { r.Members[0].RebalanceTimeout = 0 },
		"generation below": func(r *record) { r.Generation = -1 },
	} {
		r := sampleRecord()
		spoil(&r)
		if _, err := decodeRecord(r.encode()); !errors.Is(err, errCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzDecodeRecord looks for bytes that make the decoder, or a machine restored from its result, panic.
func FuzzDecodeRecord(f *testing.F) {
	sample, empty := sampleRecord(), record{}
	f.Add(sample.encode())
	f.Add(empty.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _ = decodeRecord(b)
		// Most inputs fail the checksum: also try with a right one.
		r, err := decodeRecord(binary.LittleEndian.AppendUint32(bytes.Clone(b), crc32.Checksum(b, castagnoli)))
		if err != nil {
			return
		}
		again, err := decodeRecord(r.encode())
		if err != nil || !reflect.DeepEqual(again, r) {
			t.Fatalf("%+v came back as %+v, %v", r, again, err)
		}
		m := newMachine(limits{})
		m.restore(time.Unix(0, 0), r)
		m.tick(time.Unix(1e9, 0))
	})
}
