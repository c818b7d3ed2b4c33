package terraform

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var writeReference = flag.Bool("write-reference", false, "write terraform/REFERENCE.md anew")

var (
	block       = regexp.MustCompile(`(?ms)^(variable|output) "([a-z0-9_]+)" \{\n(.*?)^\}`)
	description = regexp.MustCompile(`(?m)^  description = ("(?:[^"\\]|\\.)*")$`)
	typeOf      = regexp.MustCompile(`(?m)^  type +=\s+(\S.*)$`)
	defaultOf   = regexp.MustCompile(`(?m)^  default +=\s+(\S.*)$`)
	heading     = regexp.MustCompile(`(?m)^# ---- (.*) ----$`)
)

// TestReference: the tables of inputs and outputs are what the root module has.
func TestReference(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString("# Inputs and outputs\n\nOf the root module. Written by `cd integration && go test ./terraform -run TestReference -write-reference`.\n")
	inputs := source(t, "variables.tf") + source(t, "variables_database.tf")
	b.WriteString("\n## Inputs\n\n### Name\n" + inputTable)
	at := 0
	for _, m := range block.FindAllStringSubmatchIndex(inputs, -1) {
		if h := heading.FindAllStringSubmatch(inputs[at:m[0]], -1); len(h) > 0 {
			fmt.Fprintf(&b, "\n### %s\n%s", h[len(h)-1][1], inputTable)
		}
		at = m[1]
		name, body := inputs[m[4]:m[5]], inputs[m[6]:m[7]]
		standard := "**needed**"
		if d := defaultOf.FindStringSubmatch(body); d != nil {
			standard = "`" + d[1] + "`"
		}
		kind := typeOf.FindStringSubmatch(body)
		if kind == nil {
			t.Fatalf("%s has no type", name)
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", name, kind[1], standard, described(t, name, body))
	}
	outputs := source(t, "outputs.tf")
	b.WriteString("\n## Outputs\n\n| output | |\n|---|---|\n")
	for _, m := range block.FindAllStringSubmatch(outputs, -1) {
		fmt.Fprintf(&b, "| `%s` | %s |\n", m[2], described(t, m[2], m[3]))
	}
	path := filepath.Join(modules, "REFERENCE.md")
	if *writeReference {
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	written, err := os.ReadFile(path)
	if err != nil || string(written) != b.String() {
		t.Errorf("%s is not what the module has (%v): go test ./terraform -run TestReference -write-reference", path, err)
	}
}

const inputTable = "\n| input | type | default | |\n|---|---|---|---|\n"

func source(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(modules, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func described(t *testing.T, name, body string) string {
	t.Helper()
	m := description.FindStringSubmatch(body)
	if m == nil {
		t.Fatalf("%s has no description in one line", name)
	}
	text := strings.NewReplacer(`\"`, `"`, "|", `\|`).Replace(m[1][1 : len(m[1])-1])
	return text
}
