// Package objstoretest is the conformance suite of objstore.Store.
package objstoretest

import (
	"bytes"
	"context"
	"math/rand/v2"
	"testing"

	"github.com/runnel-io/runnel/objstore"
)

// Run tests the store that open returns against the contract. open is called once per test and returns an empty store
// that is the test's own; it registers its own cleanup.
func Run(t *testing.T, open func(t *testing.T) objstore.Store) {
	for _, tc := range []struct {
		name string
		test func(*testing.T, objstore.Store)
	}{
		{"PutIsReadable", putIsReadable},
		{"PutCreatesOnly", putCreatesOnly},
		{"PutRaceHasOneWinner", putRaceHasOneWinner},
		{"PutLeavesPartsAlone", putLeavesPartsAlone},
		{"PutIsSeenWholeOrNotAtAll", putIsSeenWholeOrNotAtAll},
		{"PutAfterDelete", putAfterDelete},
		{"EmptyObject", emptyObject},
		{"LargeObject", largeObject},
		{"GetRanges", getRanges},
		{"GetSuffix", getSuffix},
		{"GetOwnsItsResult", getOwnsItsResult},
		{"NotFound", notFound},
		{"ListOrder", listOrder},
		{"ListPrefixAndStartAfter", listPrefixAndStartAfter},
		{"ListTellsSizeAndTime", listTellsSizeAndTime},
		{"ListStopsWhenAsked", listStopsWhenAsked},
		{"ListOfNothing", listOfNothing},
		{"ListManyPages", listManyPages},
		{"DeleteIsIdempotent", deleteIsIdempotent},
		{"DeleteMany", deleteMany},
		{"InvalidKeys", invalidKeys},
		{"LongKeys", longKeys},
		{"KeysDoNotNest", keysDoNotNest},
		{"Concurrency", concurrency},
		{"CancelledContext", cancelledContext},
		{"Check", check},
	} {
		t.Run(tc.name, func(t *testing.T) { tc.test(t, open(t)) })
	}
}

// put creates an object of one part or fails the test.
func put(t *testing.T, s objstore.Store, key string, data []byte) {
	t.Helper()
	if err := s.Put(t.Context(), key, [][]byte{data}); err != nil {
		t.Fatalf("Put(%q): %v", key, err)
	}
}

// wantObject fails the test unless the object holds exactly want.
func wantObject(t *testing.T, s objstore.Store, key string, want []byte) {
	t.Helper()
	got, err := s.GetSuffix(t.Context(), key, int64(len(want))+1)
	if err != nil {
		t.Fatalf("GetSuffix(%q): %v", key, err)
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("object %q has %d bytes that differ from the %d put", key, len(got), len(want))
	}
}

// list returns the keys that List yields or fails the test.
func list(t *testing.T, s objstore.Store, prefix, startAfter string) []string {
	t.Helper()
	keys := []string{}
	for o, err := range s.List(t.Context(), prefix, startAfter) {
		if err != nil {
			t.Fatalf("List(%q, %q): %v", prefix, startAfter, err)
		}
		keys = append(keys, o.Key)
	}
	return keys
}

// noise returns n bytes that do not compress and differ by seed.
func noise(seed uint64, n int) []byte {
	b := make([]byte, n)
	rng := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16)})
	rng.Read(b) //nolint:errcheck // ChaCha8 never fails
	return b
}

func cancelled(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}
