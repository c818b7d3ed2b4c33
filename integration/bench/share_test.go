package main

import (
	"regexp"
	"testing"
)

func TestStacksAreCounted(t *testing.T) {
	const printed = "\nrunnel 1 cycles:\n\t4 a/b.one+0x1 (x)\n\t5 a/b.two+0x2 (x)\n\nrunnel 1 cycles:\n\t5 a/b.two+0x2 (x)\n\nrunnel 1 cycles:\n\t4 a/b.three (x)\n\n"
	for _, tc := range []struct {
		function string
		with     int
	}{{`b\.two`, 2}, {`b\.one`, 1}, {`nothing`, 0}} {
		samples, with := countStacks([]byte(printed), regexp.MustCompile(tc.function))
		if samples != 3 || with != tc.with {
			t.Errorf("%s: %d of %d samples, want %d of 3", tc.function, with, samples, tc.with)
		}
	}
	if samples, _ := countStacks([]byte("\n"), regexp.MustCompile("x")); samples != 0 {
		t.Errorf("%d samples in nothing", samples)
	}
}
