package runnel

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/testcontainers/testcontainers-go"
)

// Option is an option of this package, for Run.
type Option func(*settings) error

var _ testcontainers.ContainerCustomizer = Option(nil)

// Customize implements testcontainers.ContainerCustomizer. Run looks at the option itself.
func (o Option) Customize(*testcontainers.GenericContainerRequest) error { return nil }

// settings are what options have asked for.
type settings struct {
	flags            []string
	user, password   string // "": no SASL
	certificate, key []byte // PEM; nil: no TLS
	alias            string // of the container in a network; "": none
}

// WithClusterDefault sets a setting of the cluster by Kafka's name for it, as in server.properties: "num.partitions",
// "auto.create.topics.enable" and so on; docs/config.md of Runnel lists them.
func WithClusterDefault(name, value string) Option {
	return func(s *settings) error {
		if name == "" || strings.Contains(name, "=") {
			return fmt.Errorf("%q is no name of a setting", name)
		}
		s.flags = append(s.flags, "--set", name+"="+value)
		return nil
	}
}

// WithConfig sets a key of the broker's configuration, those of `runnel broker` in docs/config.md: "memory.cache", "authorizer" and so on.
// Where the broker listens and stores is decided by Run.
func WithConfig(key, value string) Option {
	return func(s *settings) error {
		if key == "" {
			return errors.New("a key of the configuration has a name")
		}
		s.flags = append(s.flags, "--"+strings.NewReplacer(".", "-", "_", "-").Replace(key)+"="+value)
		return nil
	}
}

// WithSASL has clients log in, by SCRAM-SHA-256 or SCRAM-SHA-512, and makes one user, who may make others.
func WithSASL(user, password string) Option {
	return func(s *settings) error {
		if user == "" || password == "" {
			return errors.New("a user has a name and a password")
		}
		s.user, s.password = user, password
		return nil
	}
}

// WithACLs turns access rules on: what none allows is denied, except to the user of WithSASL, who is a super user and makes them.
func WithACLs() Option {
	return func(s *settings) error {
		s.flags = append(s.flags, "--authorizer=on")
		return nil
	}
}

// WithTLS has the broker speak TLS, with a certificate and its key in PEM. It should be for the host of Brokers, such as localhost, and for
// the broker's alias if clients in other containers are to come.
func WithTLS(certificate, key []byte) Option {
	return func(s *settings) error {
		if len(certificate) == 0 || len(key) == 0 {
			return errors.New("TLS takes a certificate and its key")
		}
		s.certificate, s.key = certificate, key
		return nil
	}
}

// protocol is Kafka's name of what the listeners speak.
func (s *settings) protocol() string {
	switch {
	case s.user != "" && s.key != nil:
		return "SASL_SSL"
	case s.user != "":
		return "SASL_PLAINTEXT"
	case s.key != nil:
		return "SSL"
	}
	return "PLAINTEXT"
}

// command is what the broker is started with.
func (s *settings) command() []string {
	cmd := []string{
		"dev", "--admin=0.0.0.0:9644", "--advertise-from=" + addressFile,
		"--listener=OUTSIDE.listen=0.0.0.0:9092", "--listener=OUTSIDE.protocol=" + s.protocol(),
		"--listener=INSIDE.listen=0.0.0.0:" + insidePort, "--listener=INSIDE.protocol=" + s.protocol(),
		"--set=group.initial.rebalance.delay.ms=0",
	}
	if s.alias != "" { // else the host name is told, which is the name of the container
		cmd = append(cmd, "--listener=INSIDE.advertise="+s.alias+":"+insidePort)
	}
	if s.user != "" {
		cmd = append(cmd, "--auth-bootstrap-user="+s.user, "--auth-bootstrap-password-file="+passwordFile, "--set=super.users=User:"+s.user)
	}
	if s.key != nil {
		cmd = append(cmd, "--tls-certificate="+certificateFile, "--tls-key="+keyFile)
	}
	return append(cmd, s.flags...)
}

// files are what the broker reads.
func (s *settings) files() (files []testcontainers.ContainerFile) {
	add := func(path string, content []byte) {
		files = append(files, testcontainers.ContainerFile{Reader: bytes.NewReader(content), ContainerFilePath: path, FileMode: readable})
	}
	if s.user != "" {
		add(passwordFile, []byte(s.password))
	}
	if s.key != nil {
		add(certificateFile, s.certificate)
		add(keyFile, s.key)
	}
	return files
}
