package terraform

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/runnel-io/runnel/integration/harness"
	"github.com/runnel-io/runnel/integration/toolchain"
)

// lint runs tflint with the repository's rules in a directory, and returns what it finds.
func lint(t *testing.T, dir string) (findings string, clean bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 25*time.Minute) // it may have to be built
	defer cancel()
	var log bytes.Buffer
	cache, err := toolchain.Default(&log)
	if err != nil {
		t.Fatal(err)
	}
	program, err := cache.GoProgram(ctx, toolchain.TFLint)
	if err != nil {
		harness.Missing(t, "tflint", fmt.Errorf("%w\n%s", err, log.String()))
	}
	rules, err := filepath.Abs("../../terraform/.tflint.hcl")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, program, "--no-color", "--format=compact", "--config="+rules)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatalf("run tflint: %v", err)
	}
	return string(out), err == nil
}

// TestLintFindsWhatIsWrong: the rules are in force, so that it says something when nothing is found.
func TestLintFindsWhatIsWrong(t *testing.T) {
	dir := t.TempDir()
	module := `
terraform {
  required_version = ">= 1.9"
}

variable "unused" {
  type = string
}
`
	if err := os.WriteFile(filepath.Join(dir, "main.tf"), []byte(module), 0o644); err != nil {
		t.Fatal(err)
	}
	findings, clean := lint(t, dir)
	for _, rule := range []string{"terraform_unused_declarations", "terraform_documented_variables"} {
		if clean || !strings.Contains(findings, rule) {
			t.Errorf("%s is not told:\n%s", rule, findings)
		}
	}
}
