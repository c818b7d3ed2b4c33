package zonecache

import (
	"context"
	"errors"
	"testing"

	"github.com/runnel-io/runnel/objstore/cache"
)

// blocksOf gives parts, whatever is asked.
type blocksOf struct {
	parts [][]byte
	err   error
	asked []cache.Request
}

func (b *blocksOf) ReadThrough(_ context.Context, r cache.Request, _ func()) ([][]byte, error) {
	b.asked = append(b.asked, r)
	return b.parts, b.err
}

func TestLendingIsBounded(t *testing.T) {
	l := NewLender(&blocksOf{}, LenderOptions{Requests: 3, Bytes: 100})
	admit := func(length int64, want bool) func() {
		t.Helper()
		giveBack, ok := l.Admit(length)
		if ok != want {
			t.Fatalf("%d bytes: admitted %v", length, ok)
		}
		return giveBack
	}
	admit(101, false)
	first := admit(60, true)
	admit(41, false)
	second := admit(40, true)
	admit(1, false)
	second()
	admit(10, true)
	admit(10, true)
	admit(10, false) // a fourth request
	first()
	admit(10, true)
}

func TestWhatIsLent(t *testing.T) {
	b := &blocksOf{parts: [][]byte{make([]byte, 6), make([]byte, 4)}}
	l := NewLender(b, LenderOptions{Most: 100})
	lend := func(key string, length int64) error {
		_, err := l.Lend(t.Context(), key, 1000, 0, length, nil)
		return err
	}
	if err := lend("a/b", 10); err != nil || len(b.asked) != 1 || b.asked[0] != (cache.Request{Key: "a/b", ObjectSize: 1000, Length: 10}) {
		t.Errorf("%v: %+v", err, b.asked)
	}
	if err := lend("a/b", 11); err == nil {
		t.Error("10 bytes were lent for 11")
	}
	b.asked = nil
	if err := lend("a/b", 101); !errors.Is(err, errTooLong) || b.asked != nil {
		t.Errorf("more than an extent: %v", err)
	}
	if err := lend("../b", 10); err == nil || b.asked != nil {
		t.Errorf("an invalid key: %v", err)
	}
	b.err = errors.New("outage")
	if err := lend("a/b", 10); !errors.Is(err, b.err) {
		t.Errorf("a failed load: %v", err)
	}
}
