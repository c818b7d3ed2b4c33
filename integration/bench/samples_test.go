package main

import (
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestSamplesAreTakenByKindAndTime(t *testing.T) {
	file := filepath.Join(t.TempDir(), "samples.csv")
	if err := os.WriteFile(file, []byte("due_us,kind,took_us\n3000000,e2e,3000\n1000000,e2e,1500\n1000000,produce,900\n2000000,e2e,2000\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	all, err := readSamples(file, "e2e")
	if err != nil || len(all) != 3 {
		t.Fatalf("%v (%v)", all, err)
	}
	got := between(all, time.Unix(1, 0), time.Unix(3, 0))
	if len(got) != 2 || got[0] != 1.5 || got[1] != 2 {
		t.Errorf("%v", got)
	}
	if err := os.WriteFile(file, []byte("due_us,kind,took_us\nsoon,e2e,3000\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readSamples(file, "e2e"); err == nil {
		t.Error("no time is a time")
	}
}

// TestRiseAndItsBounds: of rounds that are alike the bounds hold none, of others they do not.
func TestRiseAndItsBounds(t *testing.T) {
	made := func(factor float64) (r rounds) {
		for i := range 12 {
			var one []float64
			for j := range 100 {
				one = append(one, factor*(float64(j)+float64(i%3)))
			}
			r = append(r, one)
		}
		return r
	}
	same, more := riseOf(.99, made(1), made(1)), riseOf(.99, made(1.5), made(1))
	if same.percent != 0 || same.low > 0 || same.high < 0 || same.high > 5 {
		t.Errorf("alike: %v", same)
	}
	if math.Abs(more.percent-50) > 1e-9 || more.low > 50 || more.high < 50 || more.low < 40 || more.high > 60 {
		t.Errorf("half as much again: %v", more)
	}
	if again := riseOf(.99, made(1.5), made(1)); again != more {
		t.Errorf("%v, then %v", more, again)
	}
	if got := (rounds{{4, 1}, {3, 2}}).quantile(.5); got != 2 {
		t.Errorf("median %v", got)
	}
	if got := riseOf(.5, nil, made(1)); got != (rise{}) {
		t.Errorf("of nothing: %v", got)
	}
}
