package bench

import "time"

const (
	megabyte = 1e6
	gibibyte = 1 << 30
)

// Result is the outcome of a benchmark. What does not apply, or could not be measured, is nil.
type Result struct {
	Benchmark string         `json:"benchmark"`
	Setup     map[string]any `json:"setup"`

	Seconds float64 `json:"seconds"` // measured, without warm-up
	Records int64   `json:"records"`
	Bytes   int64   `json:"bytes"` // of the records' values

	ThroughputMBPerS *float64 `json:"throughput_mb_per_s"` // MB are millions of bytes
	RecordsPerS      float64  `json:"records_per_s"`
	CommitsPerS      *float64 `json:"commits_per_s"`
	// LeastCommitsPerS are those of the committer that got the fewest.
	LeastCommitsPerS *float64 `json:"least_commits_per_s,omitempty"`

	P50      float64 `json:"p50_ms"`
	P99      float64 `json:"p99_ms"`
	P999     float64 `json:"p999_ms"`
	Max      float64 `json:"max_ms"`
	Samples  int64   `json:"latency_samples"`
	Exact    bool    `json:"latency_exact"` // else of a random sample
	Produced *Acks   `json:"produce,omitempty"`

	CPUSecondsPerGiB *float64 `json:"cpu_seconds_per_gib"`
	PutsPerGiB       *float64 `json:"puts_per_gib"`
	GetsPerGiB       *float64 `json:"gets_per_gib"`
	AvgObjectBytes   *float64 `json:"avg_object_bytes"`
}

// Acks are the latencies of the producers' half of an end-to-end benchmark.
type Acks struct {
	P50  float64 `json:"p50_ms"`
	P99  float64 `json:"p99_ms"`
	P999 float64 `json:"p999_ms"`
}

// NewResult is what came between two readings.
func NewResult(name string, setup map[string]any, first, last Reading, latency Quantiles) *Result {
	seconds := max(last.at.Sub(first.at).Seconds(), 1e-9)
	r := &Result{
		Benchmark: name, Setup: setup, Seconds: seconds, Records: last.records - first.records, Bytes: last.bytes - first.bytes,
		P50: Milliseconds(latency.P50), P99: Milliseconds(latency.P99), P999: Milliseconds(latency.P999), Max: Milliseconds(latency.Max),
		Samples: latency.Count, Exact: latency.Exact,
	}
	r.RecordsPerS = float64(r.Records) / seconds
	if r.Bytes > 0 {
		r.ThroughputMBPerS = ratio(float64(r.Bytes)/megabyte, seconds)
	}
	if commits := last.commits - first.commits; commits > 0 {
		r.CommitsPerS = ratio(float64(commits), seconds)
	}
	return r
}

// AddCost adds what the brokers spent between two readings.
func (r *Result) AddCost(first, last Reading) {
	spent, gib := last.cost.minus(first.cost), float64(r.Bytes)/gibibyte
	r.CPUSecondsPerGiB = ratio(spent.CPUSeconds, gib)
	r.PutsPerGiB = ratio(spent.Puts, gib)
	r.GetsPerGiB = ratio(spent.Gets, gib)
	r.AvgObjectBytes = ratio(spent.BytesPut, spent.ObjectsPut)
	r.CommitsPerS = ratio(spent.Commits, r.Seconds)
}

// AddLeast adds how many commits the slowest of several committers made.
func (r *Result) AddLeast(commits int64) { r.LeastCommitsPerS = ratio(float64(commits), r.Seconds) }

// AddAcks adds the producers' latencies.
func (r *Result) AddAcks(q Quantiles) {
	r.Produced = &Acks{Milliseconds(q.P50), Milliseconds(q.P99), Milliseconds(q.P999)}
}

// Milliseconds is d as a number.
func Milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func ratio(of, by float64) *float64 {
	if by == 0 {
		return nil
	}
	r := of / by
	return &r
}
