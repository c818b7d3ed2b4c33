package peer

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/runnel-io/runnel/metastore"
)

// They are short: brokers are near, and whoever waits can do without the peer.
const (
	dialTimeout      = 500 * time.Millisecond
	handshakeTimeout = 2 * time.Second
)

// idleConns is how many connections to a broker are kept: a burst of readers asks for many blocks at once, and a handshake
// takes longer than a block.
const idleConns = 16

// Client asks other brokers. All methods may run concurrently. Addresses are host:port of peer ports.
type Client struct {
	http    *http.Client
	cluster func() string
	silence time.Duration // ends a stream of entries
}

// Dial connects to an address; net.Dialer.DialContext is one.
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

// ClientOptions tunes a Client. The zero value is the default.
type ClientOptions struct {
	Dial Dial // how to reach other brokers; default: over the network of this machine
}

// NewClient makes a client. cluster tells the id of the cluster.
func NewClient(c *Credentials, cluster func() string, opts ClientOptions) *Client {
	if opts.Dial == nil {
		opts.Dial = (&net.Dialer{KeepAlive: 10 * time.Second}).DialContext
	}
	return &Client{cluster: cluster, silence: silence, http: &http.Client{Transport: &http.Transport{
		DialTLSContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			return dialTLS(ctx, opts.Dial, c.client(), network, address)
		},
		Protocols:           http1(),
		MaxIdleConnsPerHost: idleConns,
		IdleConnTimeout:     time.Minute,
		DisableCompression:  true,
	}}}
}

// dialTLS connects with what authenticates this broker at the moment.
func dialTLS(ctx context.Context, dial func(context.Context, string, string) (net.Conn, error), config *tls.Config, network, address string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	dialing, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	raw, err := dial(dialing, network, address)
	if err != nil {
		return nil, err
	}
	config = config.Clone()
	config.ServerName = host
	conn := tls.Client(raw, config)
	shaking, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	if err := conn.HandshakeContext(shaking); err != nil {
		return nil, errors.Join(err, raw.Close())
	}
	return conn, nil
}

// Close closes idle connections. Requests under way go on.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Commit asks a broker to sequence segments; see Sequencer. metastore.ErrInvalidCommit; after any other error the
// outcome is unknown, and the commit may be asked for again, there or elsewhere.
func (c *Client) Commit(ctx context.Context, address string, segments []metastore.SegmentCommit) (metastore.Seq, []metastore.SegmentResult, error) {
	size := 64
	for i := range segments {
		for j := range segments[i].Runs {
			size += 16 + 24*len(segments[i].Runs[j].Batches)
		}
	}
	body := metastore.AppendCommitRequest(make([]byte, 0, size), segments)
	answer, err := c.post(ctx, address, commitPath, body)
	if err != nil {
		return 0, nil, fmt.Errorf("ask %s to commit: %w", address, err)
	}
	through, results, err := metastore.DecodeCommitAnswer(answer)
	if err == nil && !metastore.Answers(results, segments) {
		err = metastore.ErrCorrupt
	}
	if err != nil {
		return 0, nil, fmt.Errorf("read answer of %s to commit: %w", address, err)
	}
	return through, results, nil
}

// post sends a body and returns that of the answer.
func (c *Client) post(ctx context.Context, address, path string, body []byte) ([]byte, error) {
	res, err := c.send(ctx, http.MethodPost, address, path, body)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	answer, err := readAll(io.LimitReader(res.Body, maxCommitBytes), res.ContentLength)
	if err != nil {
		return nil, fmt.Errorf("read answer: %w", err)
	}
	return answer, nil
}

// Ping tells whether a broker answers.
func (c *Client) Ping(ctx context.Context, address string) error {
	res, err := c.send(ctx, http.MethodGet, address, pingPath, nil)
	if err != nil {
		return fmt.Errorf("ping %s: %w", address, err)
	}
	return res.Body.Close()
}

// Entries reads the entries that a broker folds after seq, in order and without gaps, and gives them to take, which owns
// the payloads, until take returns false (nil), the stream ends or falls silent (an error), or ctx ends. ErrBehind.
func (c *Client) Entries(ctx context.Context, address string, seq metastore.Seq, take func(metastore.Entry) bool) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	watchdog := time.AfterFunc(c.silence, cancel)
	defer watchdog.Stop()
	res, err := c.send(ctx, http.MethodGet, address, entriesPath+"?after="+strconv.FormatInt(int64(seq), 10), nil)
	if err != nil {
		return fmt.Errorf("follow %s: %w", address, err)
	}
	defer res.Body.Close()
	in := bufio.NewReaderSize(res.Body, 64<<10)
	for {
		e, alive, err := readEntry(in)
		if err != nil {
			return fmt.Errorf("follow %s: %w", address, err)
		}
		watchdog.Reset(c.silence)
		if alive {
			continue
		}
		if !take(e) {
			return nil
		}
	}
}

// readEntry reads a frame; alive is a sign of life without an entry.
func readEntry(in *bufio.Reader) (e metastore.Entry, alive bool, err error) {
	var head [4 + entryHeader]byte
	if _, err := io.ReadFull(in, head[:4]); err != nil {
		return e, false, err
	}
	size := binary.BigEndian.Uint32(head[:4])
	if size == 0 {
		return e, true, nil
	}
	if size < entryHeader || size > maxEntryBytes {
		return e, false, fmt.Errorf("%w: entry of %d bytes", metastore.ErrCorrupt, size)
	}
	if _, err := io.ReadFull(in, head[4:]); err != nil {
		return e, false, err
	}
	e.Seq = metastore.Seq(binary.BigEndian.Uint64(head[4:]))
	e.Checksum = binary.BigEndian.Uint64(head[12:])
	e.Payload = make([]byte, size-entryHeader)
	_, err = io.ReadFull(in, e.Payload)
	return e, false, err
}

// send returns an answer with status 200; its body is the caller's to close.
func (c *Client) send(ctx context.Context, method, address, path string, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, "https://"+address+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set(clusterHeader, c.cluster())
	if body != nil {
		req.Header.Set("Content-Type", binaryType)
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	if res.StatusCode == http.StatusOK {
		return res, nil
	}
	defer res.Body.Close()
	why, _ := io.ReadAll(io.LimitReader(res.Body, 1<<10))
	said := strings.TrimSpace(string(why))
	switch res.StatusCode {
	case http.StatusUnprocessableEntity:
		return nil, fmt.Errorf("%w: %s", metastore.ErrInvalidCommit, said)
	case http.StatusGone:
		return nil, fmt.Errorf("%w: %s", ErrBehind, said)
	case http.StatusNotFound, http.StatusNotImplemented:
		return nil, fmt.Errorf("%w: %w: %s: %s", metastore.ErrNewerFormat, ErrRefused, res.Status, said)
	}
	err = fmt.Errorf("%w: %s: %s", ErrRefused, res.Status, said)
	if res.StatusCode == http.StatusServiceUnavailable || res.StatusCode == http.StatusBadGateway {
		err = fmt.Errorf("%w: %w", errNotNow, err)
	}
	return nil, err
}
