package runnel_test

import (
	"bytes"
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/runnel-io/runnel"

// layers says, for every package of the product, which others of ours it may import. Imports point down: what bytes
// look like knows of nothing, contracts know of nothing, implementations know their contract, the write and read paths
// know contracts, the protocol handlers know the paths, and broker/node alone puts implementations into them. Siblings
// do not know each other. Tests may import anything.
var layers = map[string][]string{
	".":       {},
	"planted": {},
	"socket":  {},

	"batching/recordbatch": {},
	"batching/segment":     {"batching/recordbatch"},
	"batching":             {"batching/recordbatch", "batching/segment", "metastore", "objstore", "objstore/hedge", "planted"},
	"batching/lifecycle":   {"metastore", "metastore/lease"},
	"batching/cleaning":    {"batching/recordbatch", "batching/rewrite", "batching/segment", "metastore", "objstore", "planted"},
	"batching/fsck":        {"batching/recordbatch", "batching/segment", "metastore", "metastore/index", "metastore/mark", "objstore", "objstore/patient"},
	"batching/garbage":     {"batching/segment", "metastore", "metastore/mark", "objstore", "planted"},
	"batching/rebuild":     {"batching/recordbatch", "batching/segment", "metastore", "metastore/index", "metastore/mark", "objstore", "objstore/patient"},
	"batching/reader":      {"batching/recordbatch", "batching/segment", "metastore", "objstore", "objstore/readahead", "planted"},
	"batching/retention":   {"metastore", "planted"},

	"batching/compaction": {"batching/rewrite", "metastore", "objstore"},
	"batching/rewrite":    {"batching/recordbatch", "batching/segment", "metastore", "objstore", "planted"},

	"metastore":          {"planted"},
	"metastore/fault":    {"metastore"},
	"metastore/index":    {"metastore", "objstore"},
	"metastore/lease":    {"metastore"},
	"metastore/mark":     {"metastore", "objstore"},
	"metastore/memory":   {"metastore"},
	"metastore/postgres": {"metastore", "socket"},

	"metastore/postgres/rdsauth": {},

	"objstore":           {},
	"objstore/cache":     {"objstore"},
	"objstore/fault":     {"objstore"},
	"objstore/file":      {"objstore"},
	"objstore/hedge":     {"objstore"},
	"objstore/memory":    {"objstore"},
	"objstore/metered":   {"objstore"},
	"objstore/patient":   {"objstore"},
	"objstore/readahead": {"objstore"},
	"objstore/s3":        {"objstore"},

	"broker/acl":            {"metastore"},
	"broker/audit":          {},
	"broker/auth":           {"metastore"},
	"broker/certs":          {},
	"broker/settings":       {"metastore"},
	"broker/config":         {"broker/settings"},
	"broker/wire":           {"socket"},
	"broker/place":          {},
	"broker/cluster":        {"metastore"},
	"broker/group":          {"broker/group/assignor", "metastore", "planted"},
	"broker/group/assignor": {"metastore"},
	"broker/peer":           {"metastore"},
	"broker/quota":          {"metastore"},
	"broker/sequencer":      {"metastore"},
	"broker/telemetry":      {"batching/recordbatch", "broker/settings"},
	"broker/txn":            {"metastore", "metastore/lease"},
	"broker/zone":           {},
	"broker/zonecache":      {"metastore", "objstore", "objstore/cache"},
	"broker": {
		"batching", "batching/reader", "batching/recordbatch",
		"broker/acl", "broker/audit", "broker/auth", "broker/cluster", "broker/group", "broker/quota", "broker/settings", "broker/telemetry", "broker/wire", "broker/zone", "metastore", "planted",
	},
	"broker/node": {
		"batching", "batching/cleaning", "batching/compaction", "batching/garbage", "batching/lifecycle", "batching/reader", "batching/retention", "batching/rewrite",
		"broker", "broker/acl", "broker/audit", "broker/auth", "broker/certs", "broker/cluster", "broker/config", "broker/group", "broker/peer", "broker/place",
		"broker/quota", "broker/sequencer", "broker/settings", "broker/telemetry", "broker/txn", "broker/wire", "broker/zone", "broker/zonecache",
		"metastore", "metastore/index", "metastore/mark", "metastore/memory", "metastore/postgres", "metastore/postgres/rdsauth",
		"objstore", "objstore/cache", "objstore/file", "objstore/hedge", "objstore/memory", "objstore/metered", "objstore/readahead", "objstore/s3",
	},

	// For tests of others: it is linked into their test programs, and not into ours.
	"runneltest": {
		"broker/acl", "broker/auth", "broker/config", "broker/node", "broker/peer", "broker/settings", "metastore", "metastore/fault", "metastore/memory",
		"objstore/fault", "objstore/memory",
	},

	"cmd/runnel/bench": {"metastore"},
	"cmd/runnel":       {"batching/fsck", "batching/rebuild", "batching/recordbatch", "batching/segment", "broker", "broker/acl", "broker/config", "broker/node", "broker/settings", "cmd/runnel/bench", "metastore", "objstore"},
}

// confined says which packages may import a foreign module. Modules that are not listed are not confined.
var confined = map[string][]string{
	"github.com/jackc/pgx":                  {"metastore/postgres"},
	"github.com/pressly/goose":              {"metastore/postgres"},
	"github.com/aws/":                       {"metastore/postgres/rdsauth", "objstore/s3"},
	"github.com/minio/minio-go":             {"objstore/s3"},
	"github.com/maypok86/otter":             {"objstore/cache"},
	"github.com/twmb/franz-go/pkg/kmsg":     {"broker", "broker/wire", "cmd/runnel"},
	"github.com/twmb/franz-go/pkg/kerr":     {"broker", "broker/wire", "cmd/runnel"},
	"github.com/twmb/franz-go/pkg/kgo":      {"cmd/runnel"},
	"github.com/twmb/franz-go/pkg/kadm":     {"cmd/runnel"},
	"github.com/twmb/franz-go/pkg/kversion": {},
	"github.com/twmb/franz-go/pkg/sasl":     {"cmd/runnel"},
	"github.com/spf13/":                     {"cmd/runnel"},
	"github.com/coreos/go-oidc":             {"broker/auth"},
	"github.com/xdg-go/":                    {"broker/auth"},
}

// testSupport: conformance suites and builders of test input, in packages named for it. They import what they test and
// libraries they check it with; nothing of the product imports them. The one that is for others' tests, runneltest, is in the
// table all the same: what it imports, they link.
func testSupport(pkg string) bool { return strings.HasSuffix(pkg, "test") }

// TestLayers reads the imports of every file itself: a cached `go list` misses changes.
func TestLayers(t *testing.T) {
	seen := map[string]map[string]bool{} // and what they import of ours
	for file, pkg := range goFiles(t, "integration", "testcontainers") {
		allowed, known := layers[pkg]
		if strings.HasSuffix(file, "_test.go") || testSupport(pkg) && !known {
			continue
		}
		if seen[pkg] == nil {
			seen[pkg] = map[string]bool{}
		}
		if !known {
			t.Errorf("%s: package %q is not in the table of layers; decide what it may import", file, pkg)
			continue
		}
		for _, path := range imports(t, file) {
			if ours, ok := strings.CutPrefix(path, module+"/"); ok {
				seen[pkg][ours] = true
				if !slices.Contains(allowed, ours) {
					t.Errorf("%s: package %q may not import %q", file, pkg, ours)
				}
			}
			for foreign, by := range confined {
				if strings.HasPrefix(path, foreign) && !slices.Contains(by, pkg) {
					t.Errorf("%s: %s is for %q only", file, foreign, by)
				}
			}
		}
	}
	for _, pkg := range slices.Sorted(maps.Keys(layers)) {
		if seen[pkg] == nil {
			t.Errorf("the table of layers names %q, which has no files", pkg)
		}
		for i, ours := range layers[pkg] {
			if !seen[pkg][ours] || slices.Index(layers[pkg], ours) < i {
				t.Errorf("the table of layers lets %q import %q, which it does not, or says so twice", pkg, ours)
			}
		}
		if i := slices.IndexFunc(layers[pkg], testSupport); i >= 0 {
			t.Errorf("the table of layers lets %q import %q, which is for tests", pkg, layers[pkg][i])
		}
	}
}

// TestFilesAreShort holds the limit on the length of a file.
func TestFilesAreShort(t *testing.T) {
	const limit = 500
	for file := range goFiles(t) {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if lines := bytes.Count(b, []byte("\n")); lines > limit {
			t.Errorf("%s has %d lines, the limit is %d: find the second thing in it", file, lines, limit)
		}
	}
}

// goFiles gives the Go files of this repository and the directory of each, as a package path below the module.
func goFiles(t *testing.T, except ...string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			hidden := path != "." && (strings.HasPrefix(entry.Name(), ".") || strings.HasPrefix(entry.Name(), "_"))
			if hidden || entry.Name() == "testdata" || entry.Name() == "node_modules" || slices.Contains(except, path) {
				return fs.SkipDir
			}
			return nil
		}
		if strings.HasSuffix(path, ".go") {
			files[path] = filepath.ToSlash(filepath.Dir(path))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 10 {
		t.Fatalf("found %d Go files: the test looks in the wrong place", len(files))
	}
	return files
}

func imports(t *testing.T, file string) []string {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
	if err != nil {
		t.Fatal(fmt.Errorf("parse %s: %w", file, err))
	}
	paths := make([]string, len(parsed.Imports))
	for i, spec := range parsed.Imports {
		if paths[i], err = strconv.Unquote(spec.Path.Value); err != nil {
			t.Fatal(err)
		}
	}
	return paths
}
