package peer

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/runnel-io/runnel/metastore"
)

// FuzzReadEntries looks for streams that are read as other entries than they say.
func FuzzReadEntries(f *testing.F) {
	var stream bytes.Buffer
	if err := writeEntries(&stream, []metastore.Entry{
		{Position: metastore.Position{Seq: 1, Checksum: 11}, Payload: []byte("first")}, {Position: metastore.Position{Seq: 2, Checksum: 22}},
	}); err != nil {
		f.Fatal(err)
	}
	if err := writeEntries(&stream, nil); err != nil {
		f.Fatal(err)
	}
	f.Add(stream.Bytes())
	f.Add([]byte{0, 0, 0, 15})
	f.Fuzz(func(t *testing.T, b []byte) {
		var again bytes.Buffer
		rest := bytes.NewReader(b)
		in := bufio.NewReaderSize(rest, 16)
		for {
			read := len(b) - rest.Len() - in.Buffered()
			if read != again.Len() || !bytes.Equal(b[:read], again.Bytes()) {
				t.Fatalf("read %x, which says %x", b[:read], again.Bytes())
			}
			e, alive, err := readEntry(in)
			if err != nil {
				return
			}
			entries := []metastore.Entry{e}
			if alive {
				entries = nil
			}
			if err := writeEntries(&again, entries); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// FuzzServer looks for bodies and queries that make the port's handlers panic or answer with a status that nobody reads.
func FuzzServer(f *testing.F) {
	f.Add(metastore.AppendCommitRequest(nil, []metastore.SegmentCommit{segment(100)}), "")
	f.Add(metastore.AppendTxnRequests(nil, []metastore.TxnRequest{metastore.EndTxn{ID: "t", Producer: 1}}), "after=1")
	f.Add([]byte{}, "key=t0/00/a&size=100&offset=10&length=20")
	f.Add([]byte{}, "key=a&size=9223372036854775807&offset=9223372036854775807&length=1")
	s := &Server{sequencer: &backend{}, cluster: inCluster("c")}
	f.Fuzz(func(t *testing.T, body []byte, query string) {
		for _, handle := range []http.HandlerFunc{s.commit, s.transact, s.block} {
			r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body))
			r.URL.RawQuery = query
			w := httptest.NewRecorder()
			handle(w, r)
			switch w.Code {
			case http.StatusOK, http.StatusBadRequest, http.StatusUnprocessableEntity, http.StatusNotImplemented, http.StatusServiceUnavailable:
			default:
				t.Errorf("status %d", w.Code)
			}
			if _, err := io.Copy(io.Discard, w.Body); err != nil {
				t.Error(err)
			}
		}
		values, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		if _, size, offset, length, err := blockQuery(values); err == nil && (offset < 0 || length <= 0 || length > maxBlockBytes || offset > size || size-offset < length) {
			t.Errorf("bytes from %d, %d of them, of %d", offset, length, size)
		}
	})
}
