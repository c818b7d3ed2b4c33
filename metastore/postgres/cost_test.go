package postgres

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// cost is what a statement touched: pages, of tables and indexes, read or written, when planned and when run.
func cost(t testing.TB, conn *pgx.Conn, statement string) int {
	t.Helper()
	var plans []struct {
		Plan, Planning struct {
			Hit  int `json:"Shared Hit Blocks"`
			Read int `json:"Shared Read Blocks"`
		}
	}
	text := strings.Join(texts(t, conn, "explain (analyze, buffers, format json) "+statement), "\n")
	if err := json.Unmarshal([]byte(text), &plans); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	p := plans[0]
	return p.Plan.Hit + p.Plan.Read + p.Planning.Hit + p.Planning.Read
}

// costs prepares every statement, and returns a function that tells what one of them costs: as a prepared statement that
// is planned once, or planned for the call. It runs it twice, since the first run reads the catalog; args gives the
// arguments of each run.
func costs(t testing.TB, conn *pgx.Conn) func(statement string, args func() string) int {
	t.Helper()
	if len(texts(t, conn, "select name from pg_prepared_statements where name = 'p_appendsql'")) == 0 {
		for name, text := range statements(t) {
			exec(t, conn, fmt.Sprintf("prepare p_%s as %s", name, text))
		}
	}
	return func(statement string, args func() string) int {
		t.Helper()
		most := 0
		for _, mode := range []string{"force_generic_plan", "force_custom_plan"} {
			exec(t, conn, "set plan_cache_mode = "+mode)
			call := func() int { return cost(t, conn, "execute p_"+statement+args()) }
			call()
			most = max(most, call())
		}
		return most
	}
}

func always(args string) func() string { return func() string { return args } }

// logCosts is what the calls at the end of the log cost, which must not depend on what lies before.
func logCosts(t testing.TB, conn *pgx.Conn) map[string]int {
	t.Helper()
	costOf, end := costs(t, conn), 0
	if err := conn.QueryRow(t.Context(), endSQL).Scan(&end); err != nil {
		t.Fatal(err)
	}
	after := end
	appended := costOf("appendSQL", func() string {
		after++
		return fmt.Sprintf("(%d, %d, 'entry', %d, %d)", after, after, after-1, after-1)
	})
	if end += 4; after != end {
		t.Fatalf("appended up to %d, want %d", after, end)
	}
	var newest int
	if err := conn.QueryRow(t.Context(), endSQL).Scan(&newest); err != nil || newest != end {
		t.Fatalf("the log ends at %d (%v), want %d: the append that was measured is none", newest, err, end)
	}
	return map[string]int{
		"append":                 appended,
		"append that comes late": costOf("appendSQL", always(fmt.Sprintf("(%d, 0, '', %d, %d)", end, end-1, end-1))),
		"read at the end":        costOf("readSQL", always(fmt.Sprintf("(%d, 1000000)", end))),
		"look for news":          costOf("endSQL", always("")),
		"trim of nothing":        costOf("trimSQL", always("(1, 1000)")),
	}
}

// fill inserts entries whose checksum is their number.
func fill(t testing.TB, conn *pgx.Conn, from, to int) {
	t.Helper()
	exec(t, conn, fmt.Sprintf(`insert into commit_log (seq, checksum, payload)
		select n, n, convert_to(repeat('x', 100), 'UTF8') from generate_series(%d, %d) as n`, from, to))
}

func wantAbout(t *testing.T, what string, got, want map[string]int) {
	t.Helper()
	t.Logf("%s: %v", what, got)
	const levels = 12 // of two indexes that grew, and of their statistics
	for call, n := range got {
		if n > want[call]+levels {
			t.Errorf("%s: %s touches %d pages, %d on a new log", what, call, n, want[call])
		}
	}
}

// onNewLog is what the calls cost where there is one entry.
func onNewLog(t *testing.T) map[string]int {
	conn := connect(t, migrated(t))
	fill(t, conn, 1, 1)
	return logCosts(t, conn)
}

func TestMillionEntriesCostNothing(t *testing.T) {
	small := onNewLog(t)
	t.Logf("new log: %v", small)
	conn := connect(t, migrated(t))
	fill(t, conn, 1, 1_000_000)
	wantAbout(t, "a million entries", logCosts(t, conn), small)
	exec(t, conn, "vacuum analyze commit_log")
	wantAbout(t, "a million entries, vacuumed", logCosts(t, conn), small)
}

// longTransaction keeps all that is deleted from now on from being cleaned up, as a dump does.
func longTransaction(t testing.TB, dsn string) {
	t.Helper()
	conn := connect(t, dsn)
	exec(t, conn, "begin isolation level repeatable read")
	exec(t, conn, "select from commit_log limit 1") // takes the snapshot
}

func TestTrimmedEntriesUnderALongTransactionCostNothing(t *testing.T) {
	const entries, step = 20_000, 1000
	small, dsn := onNewLog(t), migrated(t)
	conn := connect(t, dsn)
	exec(t, conn, "prepare trim as "+trimSQL)
	longTransaction(t, dsn)
	fill(t, conn, 1, entries+100)
	exec(t, conn, fmt.Sprintf("insert into snapshots (seq, checksum, state) values (%d, 0, '')", entries+50))
	exec(t, conn, "set plan_cache_mode = force_generic_plan")
	trim := func(limit int) int {
		t.Helper()
		return cost(t, conn, fmt.Sprintf("execute trim(1000000000, %d)", limit))
	}
	first := trim(step)
	last := first
	for range entries/step - 1 {
		last = trim(step)
	}
	var left int
	if err := conn.QueryRow(t.Context(), "select count(*) from commit_log").Scan(&left); err != nil || left != 100 {
		t.Fatalf("%d entries left (%v), want 100", left, err)
	}
	exec(t, conn, "vacuum commit_log") // which cannot clean up
	t.Logf("a trim of %d: %d pages at first, %d at last; of 10: %d", step, first, last, trim(10))
	if last > first+50 || first > 3*step {
		t.Errorf("a trim of %d touches %d pages at first, %d at last", step, first, last)
	}
	if n := trim(10); n > 60 {
		t.Errorf("a trim of 10 touches %d pages", n)
	}
	wantAbout(t, "trimmed under a long transaction", logCosts(t, conn), small)
}

// TestRenewalsUnderALongTransactionStayCheap: every renewal leaves a version of the row behind. An hour of them, of eight
// brokers, are some 300 pages: half a millisecond to list the brokers, a tenth to renew.
func TestRenewalsUnderALongTransactionStayCheap(t *testing.T) {
	const renewals, brokers = 3600, 8
	dsn := migrated(t)
	conn := connect(t, dsn)
	costOf := costs(t, conn)
	for id := range brokers {
		exec(t, conn, fmt.Sprintf("execute p_registerSQL(%d, 'broker', %d, 'zone-a', '1.0', 'broker', 1, '[]', 36000000000)", id, id))
	}
	exec(t, conn, "execute p_holdLeaseSQL('sequencer', 1, 1, 36000000000)")
	longTransaction(t, dsn)
	exec(t, conn, fmt.Sprintf(`do $$ begin
		for i in 1..%d loop
			for id in 0..%d loop
				update brokers set lease_until = now() + i * interval '1 second' where node_id = id;
			end loop;
			update leases set lease_until = now() + i * interval '1 second' where name = 'sequencer';
		end loop;
	end $$`, renewals, brokers-1))
	for _, when := range []string{"as they are", "analyzed"} {
		for _, c := range []struct {
			statement, args string
			most            int
		}{
			{"renewSQL", "(1, 1, 36000000000)", renewals * brokers / 60},
			{"liveBrokersSQL", "", renewals},
			{"holdLeaseSQL", "('sequencer', 1, 1, 36000000000)", renewals / 20},
			{"holdLeaseSQL", "('sequencer', 2, 1, 36000000000)", renewals / 20},
			{"releaseLeaseSQL", "('sequencer', 2, 1)", renewals / 20},
		} {
			n := costOf(c.statement, always(c.args))
			t.Logf("%s: %s%s touches %d pages", when, c.statement, c.args, n)
			if n > c.most {
				t.Errorf("%s: %s%s touches %d pages, want %d at most", when, c.statement, c.args, n, c.most)
			}
		}
		exec(t, conn, "analyze brokers, leases")
	}
}
