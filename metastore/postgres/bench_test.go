package postgres

import (
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/metastore/metastoretest"
)

// BenchmarkAppend measures it on a new log and on such that a broker may find after a long time.
func BenchmarkAppend(b *testing.B) {
	for _, c := range []struct {
		name    string
		end     int
		prepare func(b *testing.B, dsn string, conn *pgx.Conn)
	}{
		{"NewLog", 0, func(*testing.B, string, *pgx.Conn) {}},
		{"MillionEntries", 1_000_000, func(b *testing.B, _ string, conn *pgx.Conn) {
			fill(b, conn, 1, 1_000_000)
		}},
		{"LongTransaction", 20_000, trimmedUnderALongTransaction},
	} {
		b.Run(c.name, func(b *testing.B) {
			dsn := migrated(b)
			c.prepare(b, dsn, connect(b, dsn))
			end := metastore.Position{Seq: metastore.Seq(c.end), Checksum: uint64(c.end)}
			metastoretest.BenchmarkAppendAfter(b, open(b, dsn), end)
		})
	}
}

// BenchmarkAppendBehindPgbouncer measures what the way of poolers costs, and the pooler.
func BenchmarkAppendBehindPgbouncer(b *testing.B) {
	metastoretest.BenchmarkAppend(b, func(t testing.TB) metastore.Store {
		return open(t, startPgbouncer(t).through(t, migrated(t)))
	})
}

// BenchmarkTrim measures a trim of ten entries, where 20,000 that went before cannot be cleaned up.
func BenchmarkTrim(b *testing.B) {
	dsn := migrated(b)
	conn := connect(b, dsn)
	trimmedUnderALongTransaction(b, dsn, conn)
	s, end := open(b, dsn), 20_000
	for b.Loop() {
		b.StopTimer()
		fill(b, conn, end+1, end+10)
		end += 10
		exec(b, conn, fmt.Sprintf("update snapshots set seq = %d", end))
		b.StartTimer()
		if n, err := s.Trim(b.Context(), metastore.Seq(end+1), 10); err != nil || n == 0 {
			b.Fatalf("trimmed %d: %v", n, err)
		}
	}
}

// trimmedUnderALongTransaction leaves the last of 20,000 entries.
func trimmedUnderALongTransaction(b *testing.B, dsn string, conn *pgx.Conn) {
	longTransaction(b, dsn)
	fill(b, conn, 1, 20_000)
	exec(b, conn, "insert into snapshots (seq, checksum, state) values (20000, 20000, '')")
	s := open(b, dsn)
	for trimmed := 1; trimmed > 0; {
		var err error
		if trimmed, err = s.Trim(b.Context(), 20_001, 1000); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCommitOffsets(b *testing.B) {
	metastoretest.BenchmarkCommitOffsets(b, func(t testing.TB) metastore.Store { return open(t, migrated(t)) })
}

func BenchmarkAppendWith(b *testing.B) {
	metastoretest.BenchmarkAppendWith(b, func(t testing.TB) metastore.Store { return open(t, migrated(t)) })
}
