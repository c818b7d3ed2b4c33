package module

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/runnel-io/runnel/integration/containers/engine"
	"github.com/runnel-io/runnel/integration/harness"
	"github.com/runnel-io/runnel/integration/toolchain"
)

// testJava compiles the class that docs/testing.md shows, as it stands there, and has Kafka's client use its container.
func testJava(ctx context.Context, t *testing.T, e *engine.Engine) {
	class := filepath.Join(t.TempDir(), "RunnelContainer.java")
	if err := os.WriteFile(class, documented(t), 0o600); err != nil {
		t.Fatal(err)
	}
	cache, err := toolchain.Default(os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	classes, err := cache.JavaClasses(ctx, "java/pom.xml", "java/RoundTrip.java", class)
	if err != nil {
		harness.Missing(t, "the Java program", err)
	}
	cmd := exec.CommandContext(ctx, "java", "-Xmx256m", "-XX:TieredStopAtLevel=1", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
		"-cp", classes, "RoundTrip", image)
	cmd.Env = append(os.Environ(), e.Environment()...)
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "read hello\n") {
		t.Errorf("%v\n%s", err, out)
	}
}

// documented is the first Java program of docs/testing.md.
func documented(t *testing.T) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root(t), "docs", "testing.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, after, begins := strings.Cut(string(text), "```java\n")
	class, _, ends := strings.Cut(after, "```")
	if !begins || !ends || !strings.Contains(class, "class RunnelContainer") {
		t.Fatal("docs/testing.md shows no class RunnelContainer")
	}
	return []byte(class)
}
