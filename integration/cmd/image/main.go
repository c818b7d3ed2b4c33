// Command image makes the broker's binaries and container images for Linux, without a container engine. Run it in the
// integration directory:
//
//	go run ./cmd/image [-name runnel:latest] [-out ../dist]
//
// It writes runnel-linux-ARCH, the binaries; linux-ARCH.tar, what the image holds, for the Dockerfile; runnel-ARCH.tar, what
// `docker load` takes; runnel.tar, an OCI archive of all platforms; and SHA256SUMS of them; and prints digests, which depend
// on the commit and the version of Go alone.
package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/runnel-io/runnel/integration/image"
)

func main() {
	name := flag.String("name", "runnel:latest", "name of the image in the archives")
	out := flag.String("out", "../dist", "directory to write to")
	archs := flag.String("arch", strings.Join(image.Architectures, ","), "architectures, separated by commas")
	binaries := flag.Bool("binaries", false, "make the binaries alone")
	files := flag.Bool("files", false, "make what the Dockerfile adds, and no archives")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	m := maker{out: *out, name: *name, print: os.Stdout}
	err := m.run(ctx, strings.Split(*archs, ","), *binaries, *files)
	if err == nil {
		err = m.checksums()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

type maker struct {
	out, name string
	print     io.Writer
	made      []string // names of files
}

func (m *maker) run(ctx context.Context, archs []string, binaries, files bool) error {
	var images []*image.Image
	for _, arch := range archs {
		binary, err := image.Compile(ctx, "..", arch, m.out)
		if err != nil {
			return err
		}
		info, err := os.Stat(binary)
		if err != nil {
			return err
		}
		fmt.Fprintf(m.print, "%s  %s\n", m.path("runnel-linux-"+arch), megabytes(info.Size()))
		m.made = append(m.made, "runnel-linux-"+arch)
		if binaries {
			continue
		}
		if err := image.WriteFiles(ctx, filepath.Join(m.out, "linux-"+arch+".tar"), "..", binary); err != nil {
			return err
		}
		m.made = append(m.made, "linux-"+arch+".tar")
		if files {
			continue
		}
		made, err := image.New(ctx, "..", binary)
		if err != nil {
			return err
		}
		if err := m.archive("runnel-"+arch+".tar", made); err != nil {
			return err
		}
		images = append(images, made)
	}
	if len(images) < 2 {
		return nil
	}
	return m.archive("runnel.tar", images...)
}

// archive writes one, and says what it is.
func (m *maker) archive(file string, images ...*image.Image) error {
	a, err := image.NewArchive(m.name, images...)
	if err != nil {
		return err
	}
	f, err := os.Create(filepath.Join(m.out, file))
	if err != nil {
		return err
	}
	if _, err = a.WriteTo(f); err != nil {
		_ = f.Close()
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	m.made = append(m.made, file)
	var sizes []string
	for _, i := range images {
		sizes = append(sizes, fmt.Sprintf("%s %s compressed, %s not", i.Arch, megabytes(int64(len(i.Layer))), megabytes(i.Size)))
	}
	_, err = fmt.Fprintf(m.print, "%s  %s  (%s)\n", m.path(file), a.Digest, strings.Join(sizes, "; "))
	return err
}

// checksums writes SHA256SUMS, which `sha256sum -c` reads, of what was made.
func (m *maker) checksums() error {
	var sums strings.Builder
	for _, name := range m.made {
		f, err := os.Open(filepath.Join(m.out, name))
		if err != nil {
			return err
		}
		sum := sha256.New()
		_, err = io.Copy(sum, f)
		if err = errors.Join(err, f.Close()); err != nil {
			return err
		}
		fmt.Fprintf(&sums, "%x  %s\n", sum.Sum(nil), name)
	}
	return os.WriteFile(filepath.Join(m.out, "SHA256SUMS"), []byte(sums.String()), 0o644)
}

func (m *maker) path(file string) string {
	return strings.TrimPrefix(filepath.ToSlash(filepath.Join(m.out, file)), "../")
}

func megabytes(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }
