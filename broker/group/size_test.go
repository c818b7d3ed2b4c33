package group

import (
	"errors"
	"testing"
	"time"
)

func TestGroupBoundsWhatItsMembersSay(t *testing.T) {
	m := newMachine(limits{})
	now := time.Unix(1e9, 0)
	call := callID(0)
	join := func(id string, size int) error {
		call++
		m.join(now, call, JoinRequest{
			GroupID: "g", SessionTimeout: time.Minute, ProtocolType: "consumer",
			Protocols: []Protocol{{Name: "range", Metadata: make([]byte, size)}},
		}, id)
		for _, e := range m.takeEffects() {
			if r, ok := e.(reply); ok && r.call == call {
				return r.err
			}
		}
		return nil
	}
	for _, c := range []struct {
		id   string
		size int
		want error
	}{
		{"huge", maxGroupBytes, ErrGroupMaxSize}, {"half", maxGroupBytes/2 - 100, nil}, {"other half", maxGroupBytes/2 - 100, nil},
		{"third half", maxGroupBytes / 2, ErrGroupMaxSize}, {"small", 100, nil}, {"one too many", 200, ErrGroupMaxSize},
	} {
		if err := join(c.id, c.size); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.id, err, c.want)
		}
	}
}
