package peer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"strconv"
	"time"
)

// maxBlockBytes bounds one answer with bytes of an object.
const maxBlockBytes = 16 << 20

// Blocks lends the bytes of objects that this broker has in memory, or loads. zonecache.Lender does.
type Blocks interface {
	// Admit makes room for an answer of so many bytes; false if this broker lends enough already. giveBack is called when
	// the answer is sent.
	Admit(length int64) (giveBack func(), ok bool)
	// Lend returns length bytes of an object from offset, as parts of memory that is shared: read it only. working is
	// called first if that takes a while.
	Lend(ctx context.Context, key string, objectSize, offset, length int64, working func()) ([][]byte, error)
}

// block answers a request for bytes of an object. While it loads them it says so, with status 102, so that who asked can
// tell a broker at work from one that is gone.
func (s *Server) block(w http.ResponseWriter, r *http.Request) {
	key, objectSize, offset, length, err := blockQuery(r.URL.Query())
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if s.blocks == nil {
		http.Error(w, "this broker lends no blocks", http.StatusNotImplemented)
		return
	}
	giveBack, ok := s.blocks.Admit(length)
	if !ok {
		http.Error(w, "enough is lent already", http.StatusServiceUnavailable)
		return
	}
	defer giveBack()
	out := http.NewResponseController(w)
	parts, err := s.blocks.Lend(r.Context(), key, objectSize, offset, length, func() {
		_ = out.SetWriteDeadline(time.Now().Add(silence))
		w.WriteHeader(http.StatusProcessing)
	})
	_ = out.SetWriteDeadline(time.Now().Add(silence))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	w.Header().Set("Content-Type", binaryType)
	w.Header().Set("Content-Length", strconv.FormatInt(length, 10))
	for _, part := range parts {
		if _, err := w.Write(part); err != nil {
			return
		}
	}
}

var errBlockQuery = errors.New("key, size, offset and length must name bytes of an object")

func blockQuery(q url.Values) (key string, objectSize, offset, length int64, err error) {
	number := func(name string) int64 {
		n, bad := strconv.ParseInt(q.Get(name), 10, 64)
		if bad != nil {
			err = errBlockQuery
		}
		return n
	}
	key, objectSize, offset, length = q.Get("key"), number("size"), number("offset"), number("length")
	if key == "" || offset < 0 || length <= 0 || length > maxBlockBytes || objectSize < length || offset > objectSize-length {
		err = errBlockQuery
	}
	return key, objectSize, offset, length, err
}

// Block fills dst with bytes of an object, of that size, from offset on, that another broker has or loads. working is
// called if the broker says that it loads them. After an error dst holds anything; well tells then whether the broker
// serves others, although it could not serve this.
func (c *Client) Block(ctx context.Context, address, key string, objectSize, offset int64, dst [][]byte, working func()) (well bool, err error) {
	length := int64(0)
	for _, b := range dst {
		length += int64(len(b))
	}
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{Got1xxResponse: func(int, textproto.MIMEHeader) error {
		working()
		return nil
	}})
	query := url.Values{"key": {key}, "size": {strconv.FormatInt(objectSize, 10)},
		"offset": {strconv.FormatInt(offset, 10)}, "length": {strconv.FormatInt(length, 10)}}
	res, err := c.send(ctx, http.MethodGet, address, blockPath+"?"+query.Encode(), nil)
	if err != nil {
		return errors.Is(err, errNotNow), fmt.Errorf("ask %s for a block: %w", address, err)
	}
	defer res.Body.Close()
	if res.ContentLength != length {
		return false, fmt.Errorf("ask %s for a block: got %d bytes of %d", address, res.ContentLength, length)
	}
	for _, b := range dst {
		if _, err := io.ReadFull(res.Body, b); err != nil {
			return false, fmt.Errorf("read block of %s: %w", address, err)
		}
	}
	return true, nil
}
