package main

import (
	"strings"
	"testing"
)

func TestBusyTimesAreRead(t *testing.T) {
	got, ok := readBusy("cpu  100 20 30 400 50 6 7 8 0 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n")
	if want := (busyTimes{busy: 171, all: 621}); !ok || got != want {
		t.Errorf("%+v %v, want %+v", got, ok, want)
	}
	for _, text := range []string{"", "cpu", "cpu  a b c d e f g h", "intr 1 2 3 4 5 6 7 8"} {
		if got, ok := readBusy(text); ok {
			t.Errorf("%q: %+v", text, got)
		}
	}
	if told := watchBusy()(); !strings.HasPrefix(told, "0s in all") {
		t.Error(told)
	}
}
