package s3

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/runnel-io/runnel/objstore"
)

// protection is how a server of an Endpoint learns that the body of a Put has arrived as it was sent. A SHA-256 in the signature,
// which all servers check, takes a fifth of a broker's CPU; a CRC-32C is nearly free, but servers that do not know its header
// pass over it. Amazon S3 is left to the SDK, which sends a CRC after the body. See docs/design/2026-12-01-how-bodies-are-checked.md.
type protection int32

const (
	// unsure is for the first bodies: they are signed, and then it is looked whether the server checks checksums.
	unsure protection = iota
	// byChecksum sends the CRC-32C and signs without the body.
	byChecksum
	// bySignature signs the body.
	bySignature
)

// Put implements objstore.Store with one PutObject that carries If-None-Match: *.
//
// ErrExists may mean this very call: when the server stores the object and its answer is lost, the repeated request
// finds the object there. Callers name objects so that nobody else can have made one of that name (segments have UUIDs)
// and take ErrExists for success.
func (s *Store) Put(ctx context.Context, key string, parts [][]byte) error {
	if err := objstore.ValidKey(key); err != nil {
		return fmt.Errorf("put: %w", err)
	}
	by := protection(s.protection.Load())
	if s.opts.Endpoint == "" {
		by = bySignature
	}
	sum := ""
	if by == byChecksum {
		sum = checksum(parts)
	}
	err := s.put(ctx, key, parts, sum)
	if sum != "" && doubted(err) {
		// The server may be another one now.
		if err = s.put(ctx, key, parts, ""); err == nil {
			s.protection.Store(int32(unsure))
		}
	}
	switch {
	case err == nil:
		if by == unsure && s.learning.TryLock() {
			s.learn(ctx, key)
			s.learning.Unlock()
		}
		return nil
	case status(err) == http.StatusPreconditionFailed:
		err = objstore.ErrExists
	}
	return fmt.Errorf("put %s: %w", key, err)
}

// put sends an object: with a checksum and a signature without the body, or with a signature of it all.
func (s *Store) put(ctx context.Context, key string, parts [][]byte, sum string, opts ...func(*s3.Options)) error {
	body := objstore.NewPartsReader(parts)
	defer body.Close() // net/http may still be reading: the parts are the caller's again
	input := &s3.PutObjectInput{
		Bucket:        &s.opts.Bucket,
		Key:           aws.String(s.opts.Prefix + key),
		Body:          body,
		ContentLength: aws.Int64(body.Size()),
		ContentType:   aws.String("application/octet-stream"),
		IfNoneMatch:   aws.String("*"),
	}
	if sum != "" {
		input.ChecksumCRC32C = &sum
		opts = append(opts, s3.WithAPIOptions(v4.SwapComputePayloadSHA256ForUnsignedPayloadMiddleware))
	}
	out, err := s.client.PutObject(ctx, input, opts...)
	if err == nil && sum != "" && aws.ToString(out.ChecksumCRC32C) != sum {
		s.protection.Store(int32(bySignature)) // whoever answered did not look at it
	}
	return err
}

// doubted tells whether a server may not like a body that is not signed, or its checksum.
func doubted(err error) bool {
	switch status(err) {
	case http.StatusBadRequest, http.StatusForbidden, http.StatusNotImplemented:
		return true
	}
	return false
}

const (
	// mostProbes bounds how often it is looked what a server can: it may have been another one each time.
	mostProbes   = 5
	probeTimeout = 5 * time.Second
)

// learn finds out whether the server refuses a body that is not what its checksum says, by one beside an object that it has just
// stored, where whoever stores has the right to. One that takes it has it removed. If the answer does not tell, a later Put asks again.
// That a server takes bodies by their checksums shows with the next Put: see doubted. It is called by one goroutine at a time.
func (s *Store) learn(ctx context.Context, key string) {
	if protection(s.protection.Load()) != unsure {
		return // another Put was quicker
	}
	if s.probes++; s.probes > mostProbes {
		s.protection.Store(int32(bySignature))
		return
	}
	ctx = context.WithoutCancel(ctx) // the Put has succeeded, and what this stores is to be removed
	once := func(o *s3.Options) { o.RetryMaxAttempts = 1 }
	key += "-probe-" + rand.Text()
	limited, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	err := s.put(limited, key, [][]byte{[]byte(key)}, checksum([][]byte{[]byte("not " + key)}), once)
	switch {
	case status(err) == http.StatusBadRequest:
		s.protection.Store(int32(byChecksum))
		return
	case doubted(err):
		s.protection.Store(int32(bySignature))
		return
	case err == nil:
		s.protection.Store(int32(bySignature))
	}
	// It may be there. What stays if this fails, too, is a few bytes under a name that says what they are.
	limited, cancel = context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	_, _ = s.client.DeleteObject(limited, &s3.DeleteObjectInput{Bucket: &s.opts.Bucket, Key: aws.String(s.opts.Prefix + key)}, once)
}

// checksum is the CRC-32C of all parts, as S3 writes it.
func checksum(parts [][]byte) string {
	var sum uint32
	for _, part := range parts {
		sum = crc32.Update(sum, castagnoli, part)
	}
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, sum))
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)
