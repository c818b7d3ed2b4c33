package main

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

const events = `
{"Action":"start","Package":"p"}
{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"run","Package":"p","Test":"TestA/one"}
{"Action":"run","Package":"p","Test":"TestA/two"}
{"Action":"output","Package":"p","Test":"TestA/two","Output":"    a_test.go:7: two is wrong\n"}
{"Action":"pass","Package":"p","Test":"TestA/one"}
{"Action":"fail","Package":"p","Test":"TestA/two"}
{"Action":"fail","Package":"p","Test":"TestA"}
{"Action":"run","Package":"p","Test":"TestB"}
{"Action":"output","Package":"p","Test":"TestB","Output":"=== RUN   TestB\n"}
{"Action":"output","Package":"p","Test":"TestB","Output":"    b_test.go:9: no database here\n"}
{"Action":"output","Package":"p","Test":"TestB","Output":"--- SKIP: TestB (0.00s)\n"}
{"Action":"skip","Package":"p","Test":"TestB"}
{"Action":"fail","Package":"p","Elapsed":0.5}
{"Action":"skip","Package":"q"}
{"Action":"fail","Package":"broken","FailedBuild":"broken"}
`

func TestCounterCountsLeavesAndSaysWhy(t *testing.T) {
	var out bytes.Buffer
	var res result
	c := counter{out: &out, of: func(string) *result { return &res }}
	c.read(strings.NewReader(strings.TrimSpace(events)))
	if res.passed != 1 || res.failed != 2 {
		t.Errorf("passed %d, failed %d; want TestA/one, and TestA/two and the broken package", res.passed, res.failed)
	}
	if len(res.skipped) != 1 || res.skipped[0] != "p.TestB: no database here" {
		t.Errorf("skipped %q", res.skipped)
	}
	if want := []string{"p.TestA/two", "broken"}; !slices.Equal(res.failures, want) {
		t.Errorf("failures %q, want %q", res.failures, want)
	}
	if !strings.Contains(out.String(), "two is wrong") {
		t.Errorf("the output lacks what the failed test said:\n%s", out.String())
	}
}

// TestWhatHungIsTold: a test that the end of the time found at work is named, beside one that failed by itself.
func TestWhatHungIsTold(t *testing.T) {
	const events = `
{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"run","Package":"p","Test":"TestB"}
{"Action":"run","Package":"p","Test":"TestB/one"}
{"Action":"run","Package":"pq","Test":"TestC"}
{"Action":"fail","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestB/one","Output":"panic: test timed out after 15m0s\n"}
{"Action":"fail","Package":"p"}
{"Action":"pass","Package":"pq","Test":"TestC"}
{"Action":"pass","Package":"pq"}
`
	var out bytes.Buffer
	var res result
	c := counter{out: &out, of: func(string) *result { return &res }}
	c.read(strings.NewReader(strings.TrimSpace(events)))
	if want := []string{"p.TestA", "p.TestB/one (had not ended)"}; !slices.Equal(res.failures, want) || res.failed != 2 || res.passed != 1 {
		t.Errorf("passed %d, failed %d: %q, want %q", res.passed, res.failed, res.failures, want)
	}
	if !strings.Contains(out.String(), "timed out after") {
		t.Errorf("the output lacks why the package ended:\n%s", out.String())
	}
}

func TestReportIsStrictInCI(t *testing.T) {
	skipping := []result{{tier: "unit", passed: 3, skipped: []string{"p.TestB: no database here"}}}
	for name, c := range map[string]struct {
		results []result
		strict  bool
		fails   bool
	}{
		"a skip at home":   {skipping, false, false},
		"a skip in CI":     {skipping, true, true},
		"a failure":        {[]result{{tier: "unit", passed: 1, failed: 1, failures: []string{"p.TestA"}}}, false, true},
		"nothing ran":      {[]result{{tier: "unit"}}, false, true},
		"a broken tier":    {[]result{{tier: "unit", passed: 1, broken: "go test: signal: killed"}}, false, true},
		"everything green": {[]result{{tier: "unit", passed: 1}}, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			if err := report(&out, c.results, c.strict); (err != nil) != c.fails {
				t.Errorf("report: %v\n%s", err, out.String())
			}
			for _, r := range c.results {
				for _, name := range r.failures {
					if !strings.Contains(out.String(), "failed "+name) {
						t.Errorf("the report lacks %s:\n%s", name, out.String())
					}
				}
			}
		})
	}
}
