// Package runnel runs a Runnel broker in a container for tests, by testcontainers-go.
//
// Clients reach it from the host at Brokers, and from containers in its networks at BrokersInNetwork: it has a listener for either, since
// a Kafka client is told by the broker where to connect to. The port on the host is known only when the container runs, so the broker
// waits for it: its address is copied into the container by a hook.
package runnel

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/wait"
)

// DefaultImage is the image as `make image` in Runnel's repository names it. Give Run the one that you pull from your registry, or a
// version of it.
const DefaultImage = "runnel:latest"

// Ports in the container.
const (
	outsidePort = "9092/tcp" // Kafka clients of the host
	insidePort  = "9093"     // Kafka clients in other containers
	adminPort   = "9644/tcp" // probes and metrics
)

// Files in the container. They lie in the root directory: an image with nothing in it but the broker has no other. Whoever the broker runs
// as may read them.
const (
	addressFile     = "/runnel-address"
	passwordFile    = "/runnel-password"
	certificateFile = "/runnel-certificate.pem"
	keyFile         = "/runnel-key.pem"

	readable = 0o444
)

// pollInterval is how often it is asked whether the broker is ready, which takes some milliseconds.
const pollInterval = 20 * time.Millisecond

// RunnelContainer is a container with a broker.
type RunnelContainer struct { //nolint:revive // named as published modules name theirs
	testcontainers.Container
	settings *settings
}

// Run starts a broker in a container and returns when it serves clients. It takes options of this package and those of testcontainers-go,
// whose command line arguments come behind its own: they are flags of `runnel dev`.
//
// If an error is returned, the container is gone, and the error tells what the broker said last.
func Run(ctx context.Context, img string, opts ...testcontainers.ContainerCustomizer) (*RunnelContainer, error) {
	s := new(settings)
	for _, opt := range opts {
		if of, ok := opt.(Option); ok {
			if err := of(s); err != nil {
				return nil, fmt.Errorf("run runnel: %w", err)
			}
		}
	}
	base := []testcontainers.ContainerCustomizer{
		testcontainers.WithExposedPorts(outsidePort, adminPort),
		testcontainers.WithFiles(s.files()...),
		testcontainers.WithAdditionalLifecycleHooks(testcontainers.ContainerLifecycleHooks{
			PreStarts: []testcontainers.ContainerHook{forgetAddress}, PostStarts: []testcontainers.ContainerHook{tellAddress},
		}),
		testcontainers.WithWaitStrategy(wait.ForHTTP("/readyz").WithPort(adminPort).WithPollInterval(pollInterval)),
	}
	last := testcontainers.CustomizeRequestOption(func(req *testcontainers.GenericContainerRequest) error {
		s.alias = firstAlias(req)
		req.Cmd = append(s.command(), req.Cmd...)
		return nil
	})
	made, err := testcontainers.Run(ctx, img, append(append(base, opts...), last)...)
	if err != nil {
		err = fmt.Errorf("run runnel: %w", err)
		if made != nil {
			return nil, errors.Join(withLog(err, made), testcontainers.TerminateContainer(made))
		}
		return nil, withAdvice(err, img)
	}
	return &RunnelContainer{Container: made, settings: s}, nil
}

// withAdvice says what to do about a container that could not even be made.
func withAdvice(err error, img string) error {
	switch provider, without := testcontainers.NewDockerProvider(); {
	case without != nil:
		return fmt.Errorf("%w: no container engine answers: start one, or say where it is in DOCKER_HOST; "+
			"testcontainers.SkipIfProviderIsNotHealthy skips a test where there is none", err)
	case img == DefaultImage:
		err = fmt.Errorf("%w: if the engine has no %s, `make image` in Runnel's repository makes it for `docker load`", err, img)
		return errors.Join(err, provider.Close())
	default:
		return errors.Join(err, provider.Close())
	}
}

// Brokers are the addresses, host:port, at which clients on the host reach the broker: one.
func (c *RunnelContainer) Brokers(ctx context.Context) ([]string, error) {
	address, err := c.PortEndpoint(ctx, outsidePort, "")
	if err != nil {
		return nil, fmt.Errorf("address of the broker: %w", err)
	}
	return []string{address}, nil
}

// BrokersInNetwork are the addresses, host:port, at which clients in other containers reach the broker: one. These have to be in a network with
// it (network.WithNetwork). Its host is the first alias that the broker was given there, else the name of the container.
func (c *RunnelContainer) BrokersInNetwork(ctx context.Context) ([]string, error) {
	host := c.settings.alias
	if host == "" {
		about, err := c.Inspect(ctx)
		if err != nil {
			return nil, fmt.Errorf("host name of the broker: %w", err)
		}
		host = about.Config.Hostname
	}
	return []string{net.JoinHostPort(host, insidePort)}, nil
}

// AdminURL is where the host reaches /livez, /readyz and /metrics.
func (c *RunnelContainer) AdminURL(ctx context.Context) (string, error) {
	url, err := c.PortEndpoint(ctx, adminPort, "http")
	if err != nil {
		return "", fmt.Errorf("address of the admin server: %w", err)
	}
	return url, nil
}

// forgetAddress takes away the address of a start before, for the port is another each time.
func forgetAddress(ctx context.Context, c testcontainers.Container) error {
	if err := c.CopyToContainer(ctx, nil, addressFile, readable); err != nil {
		return fmt.Errorf("forget the address of the broker: %w", err)
	}
	return nil
}

// tellAddress lets the broker, which waits for it, know what to tell clients.
func tellAddress(ctx context.Context, c testcontainers.Container) error {
	address, err := c.PortEndpoint(ctx, outsidePort, "")
	if err != nil {
		return fmt.Errorf("address of the broker: %w", err)
	}
	if err := c.CopyToContainer(ctx, []byte(address+"\n"), addressFile, readable); err != nil {
		return fmt.Errorf("tell the broker its address: %w", err)
	}
	return nil
}

// firstAlias is the first name that the container is to have in a network of its own.
func firstAlias(req *testcontainers.GenericContainerRequest) string {
	for _, network := range req.Networks {
		if names := req.NetworkAliases[network]; len(names) > 0 {
			return names[0]
		}
	}
	return ""
}

// mostLog bounds what is told of a log.
const mostLog = 8 << 10

// withLog adds to an error what the broker logged.
func withLog(err error, c testcontainers.Container) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	log, logErr := c.Logs(ctx)
	if logErr != nil {
		return err
	}
	defer log.Close()
	text, logErr := end(log, mostLog)
	if said := strings.TrimSpace(string(text)); logErr == nil && said != "" {
		return fmt.Errorf("%w; the broker said: %s", err, said)
	}
	return err
}

// end is the last n bytes of what is read, or all if there are fewer.
func end(r io.Reader, n int) ([]byte, error) {
	text, chunk := []byte(nil), make([]byte, n)
	for {
		got, err := r.Read(chunk)
		text = append(text, chunk[:got]...)
		if len(text) > n {
			text = append(text[:0], text[len(text)-n:]...)
		}
		switch {
		case errors.Is(err, io.EOF):
			return text, nil
		case err != nil:
			return nil, err
		}
	}
}
