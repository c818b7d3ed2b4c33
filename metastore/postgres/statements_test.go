package postgres

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// statements finds the text of every statement by its constant's name, which ends in SQL.
func statements(t testing.TB) map[string]string {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	found := make(map[string]string)
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		findStatements(t, file, found)
	}
	return found
}

func findStatements(t testing.TB, file *ast.File, found map[string]string) {
	t.Helper()
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 || !strings.HasSuffix(spec.Names[0].Name, "SQL") {
			return true
		}
		text, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatalf("%s: %v", spec.Names[0].Name, err)
		}
		found[spec.Names[0].Name] = text
		return true
	})
}

func TestStatementsFitTheSchema(t *testing.T) {
	conn := connect(t, migrated(t))
	found := statements(t)
	if len(found) < 20 {
		t.Errorf("only %d statements found", len(found))
	}
	for name, text := range found {
		if _, err := conn.Prepare(t.Context(), name, text); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestPlansUseIndexes: what runs per commit, per poll or per group must not read whole tables, whatever they hold.
func TestPlansUseIndexes(t *testing.T) {
	conn := connect(t, migrated(t))
	exec(t, conn, `insert into commit_log (seq, checksum, payload)
		select n, n, convert_to(repeat('x', 100), 'UTF8') from generate_series(1, 20000) as n`)
	exec(t, conn, `insert into groups (group_id, epoch, coordinator) select 'g' || n, n, 1 from generate_series(1, 5000) as n`)
	exec(t, conn, `insert into group_offsets
		select 'g' || n % 1000, ('00000000-0000-0000-0000-' || lpad((n % 50)::text, 12, '0'))::uuid, n, 't', 1, 1, '', now()
		from generate_series(1, 50000) as n`)
	exec(t, conn, "analyze")
	exec(t, conn, "set plan_cache_mode = force_generic_plan") // what a prepared statement gets, whatever its arguments
	topics, numbers := "array['00000000-0000-0000-0000-000000000001']", "array[1]"
	found := statements(t)
	for name, args := range map[string]string{
		"appendSQL": "20001, 1, 'x', 20000, 20000",
		"appendWithSQL": "20001, 1, 'x', 20000, 20000, array['g1'], array[1], array['g1'], -1, " + topics + "," + numbers +
			", array['t'], array[1], array[1], array['']::bytea[], array[now()]",
		"readSQL":               "19990, 1000000",
		"endSQL":                "",
		"trimSQL":               "100, 10",
		"writeGroupSQL":         "'g1', 1, '', '', ''",
		"claimSQL":              "'g1', 1",
		"readGroupSQL":          "'g1'",
		"lockGroupSQL":          "'g1', 1",
		"deleteGroupSQL":        "'g1', 1",
		"commitOffsetsSQL":      "'g1', 1, " + topics + "," + numbers + ", array['t'], array[1], array[1], array['']::bytea[], array[now()]",
		"fetchAllOffsetsSQL":    "'g1'",
		"fetchOffsetsSQL":       "'g1', " + topics + "," + numbers,
		"deleteOffsetsSQL":      "'g1', 1, " + topics + "," + numbers,
		"expireOffsetsSQL":      "'g1', 1, now(), array['t']",
		"groupAgesSQL":          "'g1', 100",
		"deleteTopicOffsetsSQL": "'00000000-0000-0000-0000-000000000001'",
	} {
		t.Run(name, func(t *testing.T) {
			exec(t, conn, fmt.Sprintf("prepare p_%s as %s", name, found[name]))
			if args != "" {
				args = "(" + args + ")"
			}
			plan := strings.Join(texts(t, conn, fmt.Sprintf("explain execute p_%s%s", name, args)), "\n")
			// These are one row. A bitmap is still an index's.
			rest := strings.NewReplacer("Seq Scan on snapshots", "", "Seq Scan on meta", "").Replace(plan)
			if strings.Contains(rest, "Seq Scan") {
				t.Errorf("reads a whole table:\n%s", plan)
			}
			if !strings.Contains(plan, "Index") && name != "claimSQL" { // an upsert's own lookup is not in plans
				t.Errorf("uses no index:\n%s", plan)
			}
		})
	}
}
