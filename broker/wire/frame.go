package wire

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// A frame is a 4-byte size and that many bytes: a request header (API key, version, correlation id, and from header v1
// on the client id, from v2 tagged fields) and the body.

const (
	produceKey     = 0
	apiVersionsKey = 18
	// headerPrefix is what every request header begins with: key, version, correlation id.
	headerPrefix = 8
)

// header is the fixed beginning of a request.
type header struct {
	key, version int16
	correlation  int32
}

func parseHeader(b []byte) header {
	return header{
		key:         int16(binary.BigEndian.Uint16(b)),
		version:     int16(binary.BigEndian.Uint16(b[2:])),
		correlation: int32(binary.BigEndian.Uint32(b[4:])),
	}
}

// decode parses what follows the fixed header: client id, tagged fields, body. The slices in the results share rest.
func decode(h header, rest []byte) (clientID []byte, req kmsg.Request, err error) {
	req = kmsg.RequestForKey(h.key)
	if req == nil {
		return nil, nil, fmt.Errorf("%w: key %d", errUnknownAPI, h.key)
	}
	req.SetVersion(h.version)
	w := walker{src: rest, version: h.version, budget: maxElements}
	clientID = w.take(int(w.int16orNull()))
	if req.IsFlexible() {
		w.flexible = true
		w.tags(nil)
	}
	if w.bad {
		return nil, nil, fmt.Errorf("%w: header", errMalformed)
	}
	body := w.src
	if err := checkShape(h.key, h.version, req.IsFlexible(), body); err != nil {
		return clientID, nil, err
	}
	if err := req.ReadFrom(body); err != nil {
		return clientID, nil, fmt.Errorf("%w: %v", errMalformed, err)
	}
	return clientID, req, nil
}

// readGrowing reads n bytes. At first it allocates no more than start; the buffer grows fourfold as bytes really
// arrive, so that a peer that only claims a large frame costs little.
func readGrowing(r io.Reader, n, start int) ([]byte, error) {
	buf := make([]byte, min(n, start))
	for have := 0; ; {
		got, err := io.ReadFull(r, buf[have:])
		have += got
		if err != nil {
			return nil, err
		}
		if have == n {
			return buf, nil
		}
		grown := make([]byte, min(n, 4*have))
		copy(grown, buf)
		buf = grown
	}
}

// appendHeader begins an answer: four bytes for the size, the correlation id and, for flexible versions, an empty set
// of tagged fields. ApiVersions has response header v0 at every version, since its client does not know yet what the
// broker speaks.
func appendHeader(dst []byte, correlation int32, resp kmsg.Response) []byte {
	dst = append(dst, 0, 0, 0, 0)
	dst = binary.BigEndian.AppendUint32(dst, uint32(correlation))
	if resp.IsFlexible() && resp.Key() != apiVersionsKey {
		dst = append(dst, 0)
	}
	return dst
}

// gathered is the most bytes of segments that are copied behind each other: less work than to hand them over one by one.
const gathered = 1 << 10

// encode makes the frame of an answer, in buf as far as it is not Segmented.
func encode(buf []byte, correlation int32, resp kmsg.Response) [][]byte {
	head := appendHeader(buf[:0], correlation, resp)
	s, ok := resp.(Segmented)
	if !ok {
		head = resp.AppendTo(head)
		binary.BigEndian.PutUint32(head, uint32(len(head)-4))
		return [][]byte{head}
	}
	segments := s.AppendSegments([][]byte{head})
	size := -4
	for _, b := range segments {
		size += len(b)
	}
	if size <= gathered {
		for _, b := range segments[1:] {
			head = append(head, b...)
		}
		segments = append(segments[:0], head)
	}
	binary.BigEndian.PutUint32(head, uint32(size))
	return segments
}

// unsupportedAPIVersions answers an ApiVersions request of a version that is not served: body v0, error 35, and the
// versions of ApiVersions alone, with which the client tries again (KIP-511).
func unsupportedAPIVersions(route Route) kmsg.Response {
	resp := kmsg.NewPtrApiVersionsResponse()
	resp.SetVersion(0)
	resp.ErrorCode = 35 // UNSUPPORTED_VERSION
	key := kmsg.NewApiVersionsResponseApiKey()
	key.ApiKey, key.MinVersion, key.MaxVersion = apiVersionsKey, route.Min, route.Max
	resp.ApiKeys = append(resp.ApiKeys, key)
	return resp
}
