package peer

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/runnel-io/runnel/metastore"
)

// Sequencer commits segments, and decides on requests of transactional producers, on behalf of other brokers.
type Sequencer interface {
	// Sequence returns the results, and a position of the log through which they can be seen.
	// metastore.ErrInvalidCommit; after any other error the caller may ask again, here or elsewhere.
	Sequence(ctx context.Context, segments []metastore.SegmentCommit) (metastore.Seq, []metastore.SegmentResult, error)
	// SequenceTxns is Sequence for requests of transactional producers.
	SequenceTxns(ctx context.Context, requests []metastore.TxnRequest) (metastore.Seq, []metastore.TxnResult, error)
}

// Log gives the entries that were folded; metastore.Replica does.
type Log interface {
	// After returns entries after seq, at least one, for which it waits. metastore.ErrTrimmed. Read the payloads only.
	After(ctx context.Context, seq metastore.Seq) ([]metastore.Entry, error)
}

// ServerOptions tunes a Server. The zero value is the default.
type ServerOptions struct {
	Logger *slog.Logger // default: discard
	// MaxConnections bounds the connections, those included that have not authenticated yet. Default 1024.
	MaxConnections int
	Blocks         Blocks // default: this broker lends none
	// Usage is what this broker tells of clients and their quotas, nil if it does not; it does not wait. Default: nothing.
	Usage func() []byte
}

// Server answers the other brokers.
type Server struct {
	http      http.Server
	cluster   func() string
	sequencer Sequencer
	log       Log
	blocks    Blocks // nil: none are lent
	usageOf   func() []byte
	logger    *slog.Logger
	stopping  chan struct{} // closed when Run is to end
	conns     atomic.Int64
	limit     int64
}

// NewServer makes a server. cluster tells the id of the cluster: requests of another one are refused.
func NewServer(c *Credentials, cluster func() string, sequencer Sequencer, entries Log, opts ServerOptions) *Server {
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.MaxConnections == 0 {
		opts.MaxConnections = 1024
	}
	s := &Server{
		cluster: cluster, sequencer: sequencer, log: entries, logger: opts.Logger, stopping: make(chan struct{}),
		limit: int64(opts.MaxConnections), blocks: opts.Blocks, usageOf: opts.Usage,
	}
	if s.usageOf == nil {
		s.usageOf = func() []byte { return nil }
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+commitPath, s.commit)
	mux.HandleFunc("POST "+transactPath, s.transact)
	mux.HandleFunc("GET "+entriesPath, s.entries)
	mux.HandleFunc("GET "+blockPath, s.block)
	mux.HandleFunc("GET "+usagePath, s.usage)
	mux.HandleFunc("GET "+pingPath, func(http.ResponseWriter, *http.Request) {})
	s.http = http.Server{
		Handler:           s.ours(mux),
		TLSConfig:         c.server.Clone(),
		Protocols:         http1(),
		ReadHeaderTimeout: 5 * time.Second, // of the handshake too
		ReadTimeout:       30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    8 << 10,
		ConnState:         s.count,
		ErrorLog:          slog.NewLogLogger(opts.Logger.Handler(), slog.LevelDebug), // strangers at the door
	}
	return s
}

// http1 leaves HTTP/2 out: a request's cancellation closes its connection, and large bodies do not share one.
func http1() *http.Protocols {
	p := new(http.Protocols)
	p.SetHTTP1(true)
	return p
}

func (s *Server) count(c net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		if s.conns.Add(1) > s.limit {
			_ = c.Close()
		}
	case http.StateClosed, http.StateHijacked:
		s.conns.Add(-1)
	}
}

// Run serves until ctx ends, then ends the streams and gives commits in flight a second. It is called once.
func (s *Server) Run(ctx context.Context, ln net.Listener) error {
	// Requests do not live under ctx, so that a commit that others wait for is answered.
	base := context.WithoutCancel(ctx)
	s.http.BaseContext = func(net.Listener) context.Context { return base }
	served := make(chan error, 1)
	go func() { served <- s.http.ServeTLS(ln, "", "") }()
	select {
	case err := <-served:
		return fmt.Errorf("serve other brokers: %w", err)
	case <-ctx.Done():
	}
	close(s.stopping)
	stop, cancel := context.WithTimeout(base, time.Second)
	defer cancel()
	if s.http.Shutdown(stop) != nil {
		_ = s.http.Close()
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve other brokers: %w", err)
	}
	return nil
}

// ours refuses brokers of other clusters, which a shared secret or an address used again may bring here.
func (s *Server) ours(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if theirs, own := r.Header.Get(clusterHeader), s.cluster(); theirs != own || own == "" {
			http.Error(w, fmt.Sprintf("this is a broker of cluster %q, not of %q", own, theirs), http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (s *Server) commit(w http.ResponseWriter, r *http.Request) {
	body, err := readAll(http.MaxBytesReader(w, r.Body, maxCommitBytes), r.ContentLength)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	segments, err := metastore.DecodeCommitRequest(body)
	var through metastore.Seq
	var results []metastore.SegmentResult
	if err == nil {
		through, results, err = s.sequencer.Sequence(r.Context(), segments)
	}
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(silence))
	switch {
	case errors.Is(err, metastore.ErrInvalidCommit):
		http.Error(w, err.Error(), http.StatusUnprocessableEntity)
	case errors.Is(err, metastore.ErrCorrupt), errors.Is(err, metastore.ErrNewerFormat):
		http.Error(w, err.Error(), http.StatusBadRequest)
	case err != nil:
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
	default:
		answer := metastore.AppendCommitAnswer(make([]byte, 0, len(body)), through, results)
		w.Header().Set("Content-Type", binaryType)
		w.Header().Set("Content-Length", strconv.Itoa(len(answer)))
		_, _ = w.Write(answer)
	}
}

// entries streams frames: the length of the rest (4 bytes, big endian; 0 is a sign of life), sequence number, checksum
// (8 bytes each), payload.
func (s *Server) entries(w http.ResponseWriter, r *http.Request) {
	after, err := strconv.ParseInt(r.URL.Query().Get("after"), 10, 64)
	if err != nil || after < 0 {
		http.Error(w, "after must be a sequence number", http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", binaryType)
	out := http.NewResponseController(w)
	if out.SetReadDeadline(time.Time{}) != nil {
		http.Error(w, "cannot stream", http.StatusInternalServerError)
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	go func() { // ends with this call
		select {
		case <-s.stopping:
			cancel()
		case <-ctx.Done():
		}
	}()
	for seq, begun := metastore.Seq(after), false; ; begun = true {
		found, err := s.next(ctx, seq)
		if errors.Is(err, metastore.ErrTrimmed) {
			if !begun {
				http.Error(w, err.Error(), http.StatusGone)
			}
			return // the reader finds out by the end of the stream
		}
		if err != nil {
			return
		}
		if out.SetWriteDeadline(time.Now().Add(silence)) != nil || writeEntries(w, found) != nil || out.Flush() != nil {
			return
		}
		if n := len(found); n > 0 {
			seq = found[n-1].Seq
		}
	}
}

// next returns what is to be streamed, nothing after a beat without news.
func (s *Server) next(ctx context.Context, seq metastore.Seq) ([]metastore.Entry, error) {
	waiting, cancel := context.WithTimeout(ctx, beat)
	defer cancel()
	found, err := s.log.After(waiting, seq)
	if err != nil && waiting.Err() != nil && ctx.Err() == nil {
		return nil, nil
	}
	return found, err
}

const entryHeader = 8 + 8 // sequence number and checksum

func writeEntries(w io.Writer, entries []metastore.Entry) error {
	var head [4 + entryHeader]byte
	if len(entries) == 0 {
		_, err := w.Write(head[:4])
		return err
	}
	for _, e := range entries {
		binary.BigEndian.PutUint32(head[:], uint32(entryHeader+len(e.Payload)))
		binary.BigEndian.PutUint64(head[4:], uint64(e.Seq))
		binary.BigEndian.PutUint64(head[12:], e.Checksum)
		if _, err := w.Write(head[:]); err != nil {
			return err
		}
		if _, err := w.Write(e.Payload); err != nil {
			return err
		}
	}
	return nil
}

// readAll reads a body whose length is known in most cases.
func readAll(r io.Reader, length int64) ([]byte, error) {
	if length < 0 || length > maxCommitBytes {
		return io.ReadAll(r)
	}
	b := make([]byte, length)
	_, err := io.ReadFull(r, b)
	return b, err
}
