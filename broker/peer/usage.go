package peer

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

// maxUsageBytes bounds what a broker tells of its clients.
const maxUsageBytes = 1 << 20

// Usage asks a broker what its clients would take of their quotas, in the form that it gives it. metastore.ErrNewerFormat: it
// does not tell.
func (c *Client) Usage(ctx context.Context, address string) ([]byte, error) {
	res, err := c.send(ctx, http.MethodGet, address, usagePath, nil)
	if err != nil {
		return nil, fmt.Errorf("ask %s for usage: %w", address, err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxUsageBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read usage of %s: %w", address, err)
	}
	if len(answer) > maxUsageBytes {
		return nil, fmt.Errorf("read usage of %s: more than %d bytes", address, maxUsageBytes)
	}
	return answer, nil
}

func (s *Server) usage(w http.ResponseWriter, _ *http.Request) {
	report := s.usageOf()
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(silence))
	if report == nil {
		http.Error(w, "this broker does not share quotas", http.StatusNotImplemented)
		return
	}
	w.Header().Set("Content-Type", binaryType)
	w.Header().Set("Content-Length", strconv.Itoa(len(report)))
	_, _ = w.Write(report)
}
