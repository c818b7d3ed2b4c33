package main

import (
	"strings"
	"testing"
)

// TestTheSameRunIsPlayedAgain: a seed with a planted bug, or with some kinds of faults, is another run without them.
func TestTheSameRunIsPlayedAgain(t *testing.T) {
	for want, f := range map[string]flags{
		"make sim SEED=": {seed: 7, count: 100},
		"cd integration && go run ./cmd/sim -planted none -seed ":                           {planted: "none"},
		"cd integration && go run ./cmd/sim -kinds crash,put-lost -seed ":                   {kinds: "crash,put-lost"},
		"cd integration && go run ./cmd/sim -planted ack-before-put -kinds put-lost -seed ": {planted: "ack-before-put", kinds: "put-lost"},
	} {
		if got := again(f); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// TestUnknownNamesAreRefused before minutes of building, and not as a seed that is stuck.
func TestUnknownNamesAreRefused(t *testing.T) {
	for want, f := range map[string]flags{
		"":                               {planted: "none", kinds: "crash,put-lost"},
		"-planted ack: there is no such": {planted: "ack"},
		"-kinds crsh: there is no such":  {planted: "ack-before-put", kinds: "crash,crsh"},
	} {
		opts, err := f.options()
		if (err == nil) != (want == "") || err != nil && !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%+v: %+v, %v", f, opts, err)
		}
	}
}
