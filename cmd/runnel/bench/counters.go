package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// Counters are those of brokers' metrics that tell what a load cost. See docs/metrics.md.
type Counters struct {
	CPUSeconds float64
	Puts       float64 // calls, whatever came of them
	Gets       float64 // calls, whatever came of them
	ObjectsPut float64 // calls that made an object
	BytesPut   float64
	Commits    float64 // of segments, each a group of some
}

// minus tells what was counted since before.
func (c Counters) minus(before Counters) Counters {
	return Counters{
		CPUSeconds: c.CPUSeconds - before.CPUSeconds, Puts: c.Puts - before.Puts, Gets: c.Gets - before.Gets,
		ObjectsPut: c.ObjectsPut - before.ObjectsPut, BytesPut: c.BytesPut - before.BytesPut, Commits: c.Commits - before.Commits,
	}
}

const scrapeTimeout = 5 * time.Second

// Scrape asks the brokers at the admin addresses for their metrics and adds them up. An address may stand there once.
func Scrape(ctx context.Context, admins []string) (Counters, error) {
	var sum Counters
	ctx, cancel := context.WithTimeout(ctx, scrapeTimeout)
	defer cancel()
	for _, address := range admins {
		if err := sum.scrape(ctx, "http://"+address+"/metrics"); err != nil {
			return Counters{}, fmt.Errorf("read metrics of %s: %w", address, err)
		}
	}
	return sum, nil
}

func (c *Counters) scrape(ctx context.Context, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("status %s", answer.Status)
	}
	return c.add(io.LimitReader(answer.Body, 64<<20))
}

// errNotRunnel: the metrics are those of another program.
var errNotRunnel = errors.New("they are not a Runnel broker's")

// add reads one broker's metrics.
func (c *Counters) add(text io.Reader) error {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(text)
	if err != nil {
		return err
	}
	requests, ok := families["runnel_objstore_requests_total"]
	if !ok && families["runnel_wire_connections"] == nil { // a label that never had a value is not there
		return errNotRunnel
	}
	for _, m := range requests.GetMetric() {
		calls := m.GetCounter().GetValue()
		switch label(m, "op") {
		case "put":
			c.Puts += calls
			if label(m, "outcome") == "ok" {
				c.ObjectsPut += calls
			}
		case "get", "get_suffix":
			c.Gets += calls
		}
	}
	for _, m := range families["runnel_objstore_bytes_total"].GetMetric() {
		if label(m, "op") == "put" {
			c.BytesPut += m.GetCounter().GetValue()
		}
	}
	for _, m := range families["process_cpu_seconds_total"].GetMetric() {
		c.CPUSeconds += m.GetCounter().GetValue()
	}
	for _, m := range families["runnel_batching_commit_seconds"].GetMetric() {
		c.Commits += float64(m.GetHistogram().GetSampleCount())
	}
	return nil
}

func label(m *dto.Metric, name string) string {
	for _, l := range m.GetLabel() {
		if l.GetName() == name {
			return l.GetValue()
		}
	}
	return ""
}
