# Parameters of PostgreSQL 16 and 17 on RDS, and of Aurora, which keeps no checkpoints and has none of those marked so. The
# tables set their own thresholds of autovacuum (metastore/postgres/schema.sql).
locals {
  postgres_parameters = merge(
    {
      # Nobody logs in without TLS, not with a password either.
      "rds.force_ssl" = "1"
      # Who waits for a lock for longer than a second is named in the log: commits hold none across a round trip.
      "log_lock_waits" = "1"
      # A commit takes milliseconds; one that takes a second tells that disk or CPU are short.
      "log_min_duration_statement" = "1000"
      # A session that somebody left open keeps the deleted entries of the commit log from being cleared away.
      "idle_in_transaction_session_timeout" = "60000"
      # The log is written and trimmed all the time: look for what to vacuum every 15 s, not every minute.
      "autovacuum_naptime" = "15"
      # A vacuum of the log's large values has to end before the next is due, so it may do ten times the default at once.
      "autovacuum_vacuum_cost_limit" = "2000"
      # Connections of a broker that is gone are closed after 90 s and not after two hours.
      "tcp_keepalives_idle"     = "60"
      "tcp_keepalives_interval" = "10"
      "tcp_keepalives_count"    = "3"
      # Tells whether a slow commit waited for the disk.
      "track_io_timing" = "1"
    },
    var.engine == "aurora" ? {} : {
      # An answer means that a commit is on disk, and on the standby's: brokers ask for it themselves, and refuse less.
      "synchronous_commit" = "on"
      # After a checkpoint each page goes to the log as a whole at first: fewer checkpoints, of 15 minutes, write less.
      "checkpoint_timeout" = "900"
      # MB: so much that a burst of commits forces no checkpoint before its time.
      "max_wal_size" = "8192"
      # The pages that go to the log as a whole are compressed, which the disk has less of than the CPU has time.
      "wal_compression" = "zstd"
    },
  )
}
