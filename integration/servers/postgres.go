package servers

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// ErrNoPostgres: no PostgreSQL server programs are installed.
var ErrNoPostgres = errors.New("no PostgreSQL server programs in PATH or /usr/lib/postgresql (apt-get install postgresql)")

const (
	startTimeout = 2 * time.Minute
	stopGrace    = 20 * time.Second
)

// PostgresOptions are the settings of a server.
type PostgresOptions struct {
	Durable  bool              // fsync on; default off, as a suite needs no durability against a power cut
	Settings map[string]string // further server settings

	Certificate, Key string // PEM files; with them there is TLS
	HBA              string // who may log in how, as in pg_hba.conf; default: everybody by SCRAM
}

// Postgres is a PostgreSQL server with a database cluster of its own, on a free loopback port.
type Postgres struct {
	scratch

	bin      string
	port     int
	password string
	settings []string
	cred     *syscall.Credential
	log      *Log
	proc     *Process
}

// OpenPostgres makes a database cluster in a new temporary directory and starts a server on it.
func OpenPostgres(ctx context.Context, o PostgresOptions) (_ *Postgres, err error) {
	p, err := newPostgres(rand.Text())
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = p.remove() // the error that led here is told
		}
	}()
	p.configure(o)
	if err := p.initCluster(ctx); err != nil {
		return nil, err
	}
	if err := p.files(o); err != nil {
		return nil, err
	}
	return p, p.Start(ctx)
}

// newPostgres makes a directory for a server and finds it a port.
func newPostgres(password string) (*Postgres, error) {
	bin, err := postgresBin()
	if err != nil {
		return nil, err
	}
	port, err := FreePort()
	if err != nil {
		return nil, err
	}
	log, _ := NewLog("")
	p := &Postgres{bin: bin, port: port, password: password, log: log}
	if p.cred, err = unprivileged(); err != nil {
		return nil, err
	}
	if p.scratch, err = newScratch("postgres"); err != nil {
		return nil, err
	}
	if err := p.give(p.dir); err != nil {
		_ = p.remove() // the error that led here is told
		return nil, err
	}
	return p, nil
}

// give makes a file the server's user's.
func (p *Postgres) give(path string) error {
	if p.cred == nil {
		return nil
	}
	if err := os.Chown(path, int(p.cred.Uid), int(p.cred.Gid)); err != nil {
		return fmt.Errorf("give the cluster to its user: %w", err)
	}
	return nil
}

// program is a command of PostgreSQL's as the server's user.
func (p *Postgres) program(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(p.bin, name), args...)
	cmd.Dir, cmd.SysProcAttr = p.dir, &syscall.SysProcAttr{Credential: p.cred}
	return cmd
}

func (p *Postgres) initCluster(ctx context.Context) error {
	pwfile := filepath.Join(p.dir, "password")
	if err := os.WriteFile(pwfile, []byte(p.password), 0o600); err != nil {
		return fmt.Errorf("write the password file: %w", err)
	}
	if err := p.give(pwfile); err != nil {
		return err
	}
	cmd := p.program(ctx, "initdb", "--pgdata", p.data(), "--username", "postgres",
		"--pwfile", pwfile, "--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C", "--no-sync")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, out)
	}
	return nil
}

// files gives the server what options name, where its user may read it.
func (p *Postgres) files(o PostgresOptions) error {
	content := map[string][]byte{}
	for setting, from := range map[string]string{"ssl_cert_file": o.Certificate, "ssl_key_file": o.Key} {
		if from == "" {
			continue
		}
		data, err := os.ReadFile(from)
		if err != nil {
			return fmt.Errorf("read a file for PostgreSQL: %w", err)
		}
		content[setting] = data
		p.settings = append(p.settings, "-c", "ssl=on")
	}
	if o.HBA != "" {
		content["hba_file"] = []byte(o.HBA)
	}
	for setting, data := range content {
		name := filepath.Join(p.dir, setting)
		if err := os.WriteFile(name, data, 0o600); err != nil {
			return fmt.Errorf("write a file for PostgreSQL: %w", err)
		}
		if err := p.give(name); err != nil {
			return err
		}
		p.settings = append(p.settings, "-c", setting+"="+name)
	}
	return nil
}

func (p *Postgres) configure(o PostgresOptions) {
	settings := map[string]string{
		"listen_addresses":        "127.0.0.1",
		"port":                    strconv.Itoa(p.port),
		"unix_socket_directories": "",
		"max_connections":         "400",
		"fsync":                   "off",
		"full_page_writes":        "off",
	}
	if o.Durable {
		settings["fsync"], settings["full_page_writes"] = "on", "on"
	}
	for k, v := range o.Settings {
		settings[k] = v
	}
	for k, v := range settings {
		p.settings = append(p.settings, "-c", k+"="+v)
	}
}

func (p *Postgres) data() string { return filepath.Join(p.dir, "data") }

// Start starts the server, again after a Stop or Kill on the same port and data, and returns when it answers.
func (p *Postgres) Start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		err := p.start(ctx)
		// After a Kill the children of the former server hold its shared memory until they notice.
		if err == nil || ctx.Err() != nil || !strings.Contains(err.Error(), "pre-existing shared memory block") {
			return err
		}
		p.log.Clear()
		time.Sleep(50 * time.Millisecond)
	}
}

func (p *Postgres) start(ctx context.Context) error {
	cmd := exec.Command(filepath.Join(p.bin, "postgres"), append([]string{"-D", p.data()}, p.settings...)...)
	cmd.Dir, cmd.SysProcAttr = p.dir, &syscall.SysProcAttr{Credential: p.cred}
	// SIGINT is PostgreSQL's fast shutdown: sessions are ended, the cluster is left clean.
	proc, err := Start("postgres", cmd, syscall.SIGINT, p.log)
	if err != nil {
		return err
	}
	p.proc = proc
	if err := proc.ready(ctx, p.ping); err != nil {
		proc.Stop(syscall.SIGINT, stopGrace)
		return err
	}
	return nil
}

func (p *Postgres) ping(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, p.DSN())
	if err != nil {
		return err
	}
	return conn.Close(ctx)
}

// DSN is the URL of the superuser's connection to the database postgres.
func (p *Postgres) DSN() string {
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword("postgres", p.password),
		Host: p.Address(), Path: "/postgres",
		RawQuery: "sslmode=disable",
	}
	return u.String()
}

// CreateDatabase makes an empty database and returns the URL to connect to it.
func (p *Postgres) CreateDatabase(ctx context.Context, name string) (string, error) {
	conn, err := pgx.Connect(ctx, p.DSN())
	if err != nil {
		return "", fmt.Errorf("create database %s: %w", name, err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, "CREATE DATABASE "+pgx.Identifier{name}.Sanitize()); err != nil {
		return "", fmt.Errorf("create database %s: %w", name, err)
	}
	u, err := url.Parse(p.DSN())
	if err != nil {
		return "", err
	}
	u.Path = "/" + name
	return u.String(), nil
}

// Address is where the server listens.
func (p *Postgres) Address() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(p.port)) }

// Log is the end of what the server printed, over all its lives.
func (p *Postgres) Log() string { return p.log.Tail() }

// Stop shuts the server down; the data stays for another Start. One that was killed or aborted is down.
func (p *Postgres) Stop() error {
	if p.proc == nil {
		return nil
	}
	return p.proc.Stop(syscall.SIGINT, stopGrace)
}

// Abort is PostgreSQL's immediate shutdown: sessions end without a word, and the next Start recovers as after a crash.
func (p *Postgres) Abort() error { return p.end(syscall.SIGQUIT) }

// end has the server end other than well, which its exit code tells.
func (p *Postgres) end(sig syscall.Signal) error {
	err := p.proc.Stop(sig, stopGrace)
	p.proc = nil
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return nil
	}
	return err
}

// Kill ends the server as a crash would: the postmaster dies at once, its children notice and follow.
func (p *Postgres) Kill() error { return p.end(syscall.SIGKILL) }

// Close stops the server and removes its data.
func (p *Postgres) Close() error {
	err := p.Stop()
	return errors.Join(err, p.remove())
}

// postgresBin finds the directory of the server programs: Debian keeps them out of PATH, one directory per version.
func postgresBin() (string, error) {
	if path, err := exec.LookPath("postgres"); err == nil {
		if path, err = filepath.EvalSymlinks(path); err != nil { // the other programs lie where it really is
			return "", err
		}
		return filepath.Dir(path), nil
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if err != nil || len(found) == 0 {
		return "", ErrNoPostgres
	}
	version := func(path string) int {
		n, _ := strconv.Atoi(strings.Split(path, "/")[4])
		return n
	}
	newest := slices.MaxFunc(found, func(a, b string) int { return version(a) - version(b) })
	return filepath.Dir(newest), nil
}

// unprivileged is the identity for the server if we are root, which PostgreSQL refuses to run as; nil means our own.
func unprivileged() (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, fmt.Errorf("PostgreSQL refuses to run as root: %w", err)
	}
	uid, errU := strconv.ParseUint(u.Uid, 10, 32)
	gid, errG := strconv.ParseUint(u.Gid, 10, 32)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, errors.Join(errU, errG)
}
