package recordbatch

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"

	"github.com/klauspost/compress/snappy"
	"github.com/pierrec/lz4/v4"
)

// MaxRecompressed bounds the uncompressed records of a batch that is to be recompressed: all of it is held in memory.
const MaxRecompressed = 32 << 20

// Compression is a codec and how hard it tries, on the scale of Kafka's compression.*.level.
type Compression struct {
	Codec Codec
	Level int
}

// defaultLZ4Level stands for the fast compressor in Kafka, where all others are levels of the thorough one.
const defaultLZ4Level = 9

// snappyBlock is what Java's snappy streams put into one block.
const snappyBlock = 32 << 10

// Recompress makes of b, which Validate has passed with the same rules, a batch with the records of b, byte for byte,
// compressed with another codec, and a header that differs in what follows from that alone. The records are checked as
// those of an uncompressed batch are, and the max timestamp becomes theirs. b is not written to. Its errors are Refusals.
func Recompress(b []byte, rules Rules, to Compression) ([]byte, Header, error) {
	h := decodeHeader(b)
	body, err := inflate(h.Codec(), b[HeaderSize:], MaxRecompressed)
	switch {
	case errors.Is(err, ErrTooLarge):
		return nil, h, refuse(TooLarge, "records that are to be recompressed decompress to more than %d bytes", MaxRecompressed)
	case err != nil:
		return nil, h, refuse(InvalidRecord, "cannot decompress the records: %v", err)
	}
	latest, refusal := checkRecords(body, h, rules)
	if refusal != nil {
		return nil, h, refusal
	}
	var out bytes.Buffer
	out.Grow(HeaderSize + len(body)/2)
	out.Write(b[:HeaderSize])
	if err := to.write(&out, body); err != nil { // to memory: this cannot fail but for a level that is none
		return nil, h, refuse(UnsupportedCompression, "compress with %s: %v", to.Codec, err)
	}
	made := out.Bytes()
	if len(made) > int(rules.MaxBytes) {
		return nil, h, refuse(TooLarge, "compressed with %s, the batch of %d bytes exceeds the limit of %d", to.Codec, len(made), rules.MaxBytes)
	}
	be := binary.BigEndian
	be.PutUint32(made[lengthAt:], uint32(len(made)-lengthStart))
	be.PutUint16(made[attributesAt:], uint16(h.Attributes)&^codecMask|uint16(to.Codec))
	setMaxTimestamp(made, latest) // and the CRC
	return made, decodeHeader(made), nil
}

// write compresses body onto out.
func (c Compression) write(out *bytes.Buffer, body []byte) error {
	switch c.Codec {
	case None:
		out.Write(body)
		return nil
	case Snappy:
		writeSnappy(out, body)
		return nil
	case Gzip:
		return writeGzip(out, body, c.Level)
	case LZ4:
		w, err := c.lz4(out)
		if err != nil {
			return err
		}
		if _, err = w.Write(body); err != nil {
			return err
		}
		return w.Close()
	}
	made, err := appendZstd(out.AvailableBuffer(), body, c.Level)
	out.Write(made)
	return err
}

func (c Compression) lz4(out io.Writer) (io.WriteCloser, error) {
	level := lz4.Fast
	if c.Level != defaultLZ4Level {
		level = lz4.CompressionLevel(1 << (8 + min(max(c.Level, 1), 9))) // as the library numbers 1 to 9
	}
	w := lz4.NewWriter(out)
	return w, w.Apply(lz4.BlockSizeOption(lz4.Block64Kb), lz4.CompressionLevelOption(level))
}

// writeSnappy writes the framing of Java's snappy streams, which is what Kafka itself writes.
func writeSnappy(out *bytes.Buffer, body []byte) {
	beginSnappy(out)
	var block []byte
	for len(body) > 0 {
		n := min(len(body), snappyBlock)
		block = appendSnappyBlock(out, block, body[:n])
		body = body[n:]
	}
}

func beginSnappy(out *bytes.Buffer) {
	out.WriteString(xerialMagic)
	out.Write([]byte{0, 0, 0, 1, 0, 0, 0, 1})
}

// appendSnappyBlock writes one block. buffer is what it returned for another, or nil.
func appendSnappyBlock(out *bytes.Buffer, buffer, body []byte) []byte {
	block := snappy.Encode(buffer[:cap(buffer)], body)
	var size [4]byte
	binary.BigEndian.PutUint32(size[:], uint32(len(block)))
	out.Write(size[:])
	out.Write(block)
	return block
}
