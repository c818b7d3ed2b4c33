package main

import (
	"errors"
	"strings"
	"testing"
)

func TestHelpFitsItsWidth(t *testing.T) {
	text := "Read records\nfrom topics. And so on.\n\n  indented stays as it is, however long it may be\nlast"
	want := "Read records from\ntopics. And so on.\n\n  indented stays as it is, however long it may be\nlast"
	if got := reflow(text, 18); got != want {
		t.Errorf("got %q", got)
	}
	for _, line := range []string{"broker --help", "consume --help", "topic create --help"} {
		out, errOut, code := run(t, nil, strings.Fields(line)...)
		if code != 0 || errOut != "" {
			t.Fatalf("%s: exit %d: %s", line, code, errOut)
		}
		for row := range strings.SplitSeq(out, "\n") {
			if len(row) > helpWidth || strings.TrimRight(row, " ") != row {
				t.Errorf("%s: line %q", line, row)
			}
		}
	}
}

func TestHelpNamesTheWordsOfChoicesAlone(t *testing.T) {
	out, _, _ := run(t, nil, "broker", "--help")
	for _, want := range []string{"--client-subnets subnet=zone, ... ", "--log-format word ", "One of text, json."} {
		if !strings.Contains(out, want) {
			t.Errorf("missing %q in\n%s", want, out)
		}
	}
	if strings.Contains(out, "One of subnet") {
		t.Errorf("a form is told as a choice:\n%s", out)
	}
}

func TestHelpOfCommandsThatHoldOthers(t *testing.T) {
	for _, line := range []string{"topic", "topic --help", "help topic"} {
		out, _, code := run(t, nil, strings.Fields(line)...)
		if code != 0 || !strings.Contains(out, "runnel topic COMMAND\n") || !strings.Contains(out, "\n  create          Create topics\n") {
			t.Errorf("%s: exit %d: %s", line, code, out)
		}
	}
	out, _, _ := run(t, nil)
	if strings.Contains(out, "\n  docs ") {
		t.Error("the hidden command is listed")
	}
}

func TestUnknownCommandsGetASuggestion(t *testing.T) {
	for _, line := range []string{"topik", "topic creat", "help topic creat", "topic create t --partitoins 3"} {
		_, errOut, code := run(t, nil, strings.Fields(line)...)
		if code != exitUsage || strings.Count(errOut, "\n") != 1 {
			t.Errorf("%s: exit %d: %s", line, code, errOut)
		}
		if !strings.Contains(line, "--") && !strings.Contains(errOut, "did you mean") {
			t.Errorf("%s: %s", line, errOut)
		}
	}
}

func TestErrorsAreLines(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"one", "read x: no such file\n", "runnel: read x: no such file"},
		{"joined", "topic a: no\ntopic b: no", "runnel: topic a: no\nrunnel: topic b: no"},
		{"list", "2 mistakes:\n  one\n  two", "runnel: 2 mistakes:\n  one\n  two"},
		{"parts of one", "cannot connect:\n\t[::1]: refused\n\t127.0.0.1: refused\n\t127.0.0.1: refused",
			"runnel: cannot connect: [::1]: refused; 127.0.0.1: refused"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := message(errors.New(tt.text)); got != tt.want {
				t.Errorf("got %q", got)
			}
		})
	}
}

func TestVersionIsAFlagToo(t *testing.T) {
	flag, _, _ := run(t, nil, "--version")
	command, _, _ := run(t, nil, "version")
	if flag != command || !strings.HasPrefix(flag, "runnel ") {
		t.Errorf("--version: %q, version: %q", flag, command)
	}
}
