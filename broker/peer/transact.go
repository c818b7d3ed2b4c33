package peer

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/runnel-io/runnel/metastore"
)

// Transact asks a broker to decide on requests of transactional producers; see Sequencer. metastore.ErrNewerFormat: it does
// not know how. After any other error the outcome is unknown.
func (c *Client) Transact(ctx context.Context, address string, requests []metastore.TxnRequest) (metastore.Seq, []metastore.TxnResult, error) {
	answer, err := c.post(ctx, address, transactPath, metastore.AppendTxnRequests(nil, requests))
	if err != nil {
		return 0, nil, fmt.Errorf("ask %s to transact: %w", address, err)
	}
	through, results, err := metastore.DecodeTxnResults(answer)
	if err == nil && len(results) != len(requests) {
		err = metastore.ErrCorrupt
	}
	if err != nil {
		return 0, nil, fmt.Errorf("read answer of %s to transact: %w", address, err)
	}
	return through, results, nil
}

func (s *Server) transact(w http.ResponseWriter, r *http.Request) {
	body, err := readAll(http.MaxBytesReader(w, r.Body, maxCommitBytes), r.ContentLength)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	requests, err := metastore.DecodeTxnRequests(body)
	var through metastore.Seq
	var results []metastore.TxnResult
	if err == nil {
		through, results, err = s.sequencer.SequenceTxns(r.Context(), requests)
	}
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(silence))
	switch {
	case errors.Is(err, metastore.ErrNewerFormat):
		http.Error(w, err.Error(), http.StatusNotImplemented)
	case errors.Is(err, metastore.ErrCorrupt):
		http.Error(w, err.Error(), http.StatusBadRequest)
	case err != nil:
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
	default:
		answer := metastore.AppendTxnResults(nil, through, results)
		w.Header().Set("Content-Type", binaryType)
		w.Header().Set("Content-Length", strconv.Itoa(len(answer)))
		_, _ = w.Write(answer)
	}
}
