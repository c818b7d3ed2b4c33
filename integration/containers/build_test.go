package containers

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/runnel-io/runnel/integration/servers"
	"github.com/runnel-io/runnel/integration/toolchain"
)

// rootFS collects files of this machine for an image, at the same paths.
type rootFS struct {
	tar  *tar.Writer
	seen map[string]bool
}

func (r *rootFS) directory(path string, mode int64, owner int) error {
	return r.tar.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: strings.TrimPrefix(path, "/") + "/", Mode: mode, Uid: owner, Gid: owner})
}

func (r *rootFS) content(path string, mode int64, content []byte) error {
	r.seen[path] = true
	if err := r.tar.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: strings.TrimPrefix(path, "/"), Mode: mode, Size: int64(len(content))}); err != nil {
		return err
	}
	_, err := r.tar.Write(content)
	return err
}

// file adds a file, and what a link points at in its place.
func (r *rootFS) file(path string) error {
	if r.seen[path] {
		return nil
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	return r.content(path, int64(info.Mode().Perm()), content)
}

// program adds a program and the libraries that it needs.
func (r *rootFS) program(ctx context.Context, path string) error {
	if err := r.file(path); err != nil {
		return err
	}
	out, err := exec.CommandContext(ctx, "ldd", path).Output()
	if err != nil {
		return fmt.Errorf("libraries of %s: %w", path, err)
	}
	for _, word := range strings.Fields(string(out)) {
		if strings.HasPrefix(word, "/") {
			if err := r.file(word); err != nil {
				return err
			}
		}
	}
	return nil
}

// tree adds all below a directory but what leave says.
func (r *rootFS) tree(dir string, leave func(path string) bool) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case leave(path) && d.IsDir():
			return fs.SkipDir
		case leave(path) || d.IsDir():
			return nil
		}
		return r.file(path)
	})
}

// build makes an image of the files and a Dockerfile's further lines.
func build(ctx context.Context, name string, lines []string, fill func(r *rootFS) error) error {
	var files, whole bytes.Buffer
	r := &rootFS{tar.NewWriter(&files), make(map[string]bool)}
	if err := fill(r); err != nil {
		return fmt.Errorf("collect the files of %s: %w", name, err)
	}
	if err := r.tar.Close(); err != nil {
		return err
	}
	outer := &rootFS{tar.NewWriter(&whole), make(map[string]bool)}
	dockerfile := strings.Join(slices.Concat([]string{"FROM scratch", "ADD root.tar /"}, lines), "\n") + "\n"
	if err := errors.Join(outer.content("root.tar", 0o644, files.Bytes()), outer.content("Dockerfile", 0o644, []byte(dockerfile)), outer.tar.Close()); err != nil {
		return err
	}
	return docker.Build(ctx, name, "", &whole)
}

// postgresUser is the user of the public image.
const postgresUser = 999

// entrypoint does what that of the public image does with the same variables, as far as compose.yaml and the tests use
// them. It has a shell, and no other program of an operating system.
const entrypoint = `#!/bin/sh
set -eu
[ "$1" = postgres ] || exec "$@"
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  : "${POSTGRES_USER:=postgres}"
  : "${POSTGRES_DB:=$POSTGRES_USER}"
  printf '%s\n' "${POSTGRES_PASSWORD:?}" >/tmp/password
  initdb --pgdata "$PGDATA" --username "$POSTGRES_USER" --pwfile /tmp/password --auth-local trust --auth-host scram-sha-256 --encoding UTF8 --locale C --no-sync
  echo 'host all all all scram-sha-256' >>"$PGDATA/pg_hba.conf"
  [ "$POSTGRES_DB" = postgres ] || echo "CREATE DATABASE \"$POSTGRES_DB\"" | postgres --single -D "$PGDATA" postgres
fi
shift
exec postgres -D "$PGDATA" -c listen_addresses='*' "$@"
`

// buildPostgres makes an image of the PostgreSQL server on this machine, with the interface of docker.io/library/postgres.
func buildPostgres(ctx context.Context) error {
	bins, err := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if err != nil || len(bins) == 0 {
		return servers.ErrNoPostgres
	}
	bin := filepath.Dir(slices.Max(bins))
	lib, share := filepath.Join(filepath.Dir(bin), "lib"), strings.Replace(filepath.Dir(bin), "/usr/lib/", "/usr/share/", 1)
	lines := []string{
		"ENV PATH=" + bin + " PGDATA=/var/lib/postgresql/data LANG=C TZ=UTC",
		fmt.Sprintf("USER %d:%d", postgresUser, postgresUser), "VOLUME /var/lib/postgresql/data", "EXPOSE 5432", "STOPSIGNAL SIGINT",
		`ENTRYPOINT ["/entrypoint.sh"]`, `CMD ["postgres"]`,
	}
	return build(ctx, postgresImage, lines, func(r *rootFS) error {
		for _, dir := range []string{"/var/lib/postgresql/data", "/var/run/postgresql", "/run/postgresql"} {
			if err := r.directory(dir, 0o700, postgresUser); err != nil {
				return err
			}
		}
		passwd := fmt.Sprintf("postgres:x:%d:%d::/var/lib/postgresql:/bin/sh\n", postgresUser, postgresUser)
		err := errors.Join(r.directory("/tmp", 0o1777, 0), r.content("/entrypoint.sh", 0o755, []byte(entrypoint)), r.content("/etc/passwd", 0o644, []byte(passwd)))
		for _, program := range []string{"postgres", "initdb", "pg_isready"} {
			err = errors.Join(err, r.program(ctx, filepath.Join(bin, program)))
		}
		heavy := func(path string) bool { // just-in-time compilation, and what extensions are built with
			return strings.Contains(path, "llvm") || strings.Contains(path, "bitcode") || strings.Contains(path, "pgxs")
		}
		manual := func(path string) bool { return strings.Contains(path, "/man/") }
		return errors.Join(err, r.program(ctx, "/bin/sh"), r.tree(lib, heavy), r.tree(share, manual), r.file("/usr/share/zoneinfo/UTC"), r.file("/usr/share/zoneinfo/Etc/UTC"))
	})
}

// buildS3 makes an image of the S3 server of the other tests, with the interface of ghcr.io/versity/versitygw: arguments are
// those of the program.
func buildS3(ctx context.Context) error {
	tools, err := toolchain.Default(os.Stderr)
	if err != nil {
		return err
	}
	program, err := tools.GoProgram(ctx, toolchain.VersityGW)
	if err != nil {
		return err
	}
	return buildProgram(ctx, s3Image, program)
}

// buildMinIO makes an image with the interface of quay.io/minio/minio, as far as it is used: arguments are those of the program.
func buildMinIO(ctx context.Context) error {
	tools, err := toolchain.Default(os.Stderr)
	if err != nil {
		return err
	}
	program, err := servers.FindMinIO(ctx, tools)
	if err != nil {
		return err
	}
	return buildProgram(ctx, minioImage, program)
}

// buildProgram makes an image of a static program and nothing else.
func buildProgram(ctx context.Context, name, program string) error {
	content, err := os.ReadFile(program)
	if err != nil {
		return err
	}
	inside := "/usr/local/bin/" + filepath.Base(program)
	return build(ctx, name, []string{`ENTRYPOINT ["` + inside + `"]`}, func(r *rootFS) error {
		return errors.Join(r.directory("/tmp", 0o1777, 0), r.content(inside, 0o755, content))
	})
}
