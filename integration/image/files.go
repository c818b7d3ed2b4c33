package image

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// file is an entry of the layer. A directory's name ends with a slash.
type file struct {
	name    string
	mode    int64
	owner   int
	content []byte
}

// files are all there is in the image: the broker, what it is licensed under, no shell, no libraries, nothing that could have a vulnerability of its own.
// Users and group have names for what looks them up; /data is there so that a volume that is mounted at it can be written to.
func files(ctx context.Context, root, binary string) ([]file, error) {
	program, err := os.ReadFile(binary)
	if err != nil {
		return nil, fmt.Errorf("read the broker: %w", err)
	}
	license, err := os.ReadFile(filepath.Join(root, "LICENSE"))
	if err != nil {
		return nil, fmt.Errorf("read the license: %w", err)
	}
	notices, err := Notices(ctx, binary)
	if err != nil {
		return nil, err
	}
	return append(base(),
		file{"licenses/", 0o755, 0, nil},
		file{"licenses/LICENSE", 0o644, 0, license},
		file{"licenses/THIRD_PARTY_NOTICES", 0o644, 0, notices},
		file{"runnel", 0o755, 0, program}), nil
}

func base() []file {
	passwd := fmt.Sprintf("root:x:0:0:root:/:/runnel\nrunnel:x:%d:%d:runnel:/data:/runnel\n", user, user)
	group := fmt.Sprintf("root:x:0:\nrunnel:x:%d:\n", user)
	return []file{
		{"data/", 0o755, user, nil},
		{"etc/", 0o755, 0, nil},
		{"etc/group", 0o644, 0, []byte(group)},
		{"etc/passwd", 0o644, 0, []byte(passwd)},
		{"etc/ssl/", 0o755, 0, nil},
		{"etc/ssl/certs/", 0o755, 0, nil},
		{"etc/ssl/certs/ca-certificates.crt", 0o644, 0, authorities()},
	}
}

// authorities are the certificates of Mozilla's authorities, from a pinned module, not from whatever this machine has.
// Those that are to be trusted for certificates of before some day alone are left out, since a file cannot say that.
func authorities() []byte {
	var b bytes.Buffer
	for root := range bundle.Roots() {
		if root.Constraint == nil {
			_ = pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate}) // to memory
		}
	}
	return b.Bytes()
}

// writeTar writes the files as a layer, and returns how large they are.
func writeTar(w io.Writer, files []file, modified time.Time) (size int64, err error) {
	archive := tar.NewWriter(w)
	for _, f := range files {
		h := &tar.Header{Typeflag: tar.TypeReg, Name: f.name, Mode: f.mode, Uid: f.owner, Gid: f.owner, Size: int64(len(f.content)), ModTime: modified, Format: tar.FormatUSTAR}
		if strings.HasSuffix(f.name, "/") {
			h.Typeflag = tar.TypeDir
		}
		if err := archive.WriteHeader(h); err != nil {
			return 0, err
		}
		if _, err := archive.Write(f.content); err != nil {
			return 0, err
		}
		size += h.Size
	}
	return size, archive.Close()
}

// WriteFiles writes what is in the image of a binary, made from the checkout at root, as a tar archive, for the Dockerfile to add.
func WriteFiles(ctx context.Context, path, root, binary string) error {
	build, err := ReadBuild(binary)
	if err != nil {
		return err
	}
	files, err := files(ctx, root, binary)
	if err != nil {
		return err
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = writeTar(f, files, build.Time)
	return errors.Join(err, f.Close())
}

// both writes to two writers.
type both [2]io.Writer

// Write implements io.Writer.
func (b both) Write(p []byte) (int, error) {
	if n, err := b[0].Write(p); err != nil {
		return n, err
	}
	return b[1].Write(p)
}
