package s3

import (
	"context"
	"math/rand/v2"
	"net"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/logging"
)

// newClient reads the SDK's configuration. It does not reach out to the server. The HTTP client is the one that the S3
// client uses, to be closed.
func newClient(ctx context.Context, o Options) (*s3.Client, *http.Client, error) {
	// The SDK adds AWS_CA_BUNDLE to a client of this type only. Its read timeout would end long uploads: see stallConn.
	buildable := awshttp.NewBuildableClient().WithReadTimeout(0).WithTransportOptions(func(tr *http.Transport) { limit(tr, o) })
	load := []func(*config.LoadOptions) error{
		config.WithAppID("runnel"),
		config.WithRetryer(func() aws.Retryer { return newRetryer(o) }),
		config.WithHTTPClient(buildable),
		config.WithLogger(logging.Nop{}), // it would write to standard error, past the log and its format; what matters is an error, too
	}
	if o.Region != "" {
		load = append(load, config.WithRegion(o.Region))
	} else if o.Endpoint != "" {
		load = append(load, config.WithDefaultRegion("us-east-1"))
	}
	if o.AccessKey != "" {
		load = append(load, config.WithCredentialsProvider(
			credentials.NewStaticCredentialsProvider(o.AccessKey, o.SecretKey, o.SessionToken)))
	}
	cfg, err := config.LoadDefaultConfig(ctx, load...)
	if err != nil {
		return nil, nil, err
	}
	if b, ok := cfg.HTTPClient.(*awshttp.BuildableClient); ok {
		buildable = b
	}
	httpClient := &http.Client{
		Transport:     buildable.GetTransport(),
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // signatures name the host
	}
	return s3.NewFromConfig(cfg, func(s *s3.Options) { configure(s, o, httpClient) }), httpClient, nil
}

func configure(s *s3.Options, o Options, httpClient *http.Client) {
	s.HTTPClient = httpClient
	s.UsePathStyle = o.PathStyle
	// The SDK would ask servers for leave (Expect: 100-continue) before each body of 2 MiB: a round trip on every
	// segment, and a second's wait with a server that does not know the header.
	s.ContinueHeaderThresholdBytes = -1
	s.DisableLogOutputChecksumValidationSkipped = true // ranges carry none; it would log each
	if o.Endpoint != "" {
		s.BaseEndpoint = aws.String(o.Endpoint)
		// Many servers do not know the checksums that the SDK now adds unasked, after the body. What protects it: see
		// protection.
		s.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
		s.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
	}
}

// newRetryer retries what the SDK holds to be transient (connection errors, 500, 502, 503, 504, throttling), and the
// conflicts that S3 answers while another conditional Put of the same key is under way.
func newRetryer(o Options) aws.Retryer {
	standard := retry.NewStandard(func(s *retry.StandardOptions) {
		s.MaxAttempts = o.Attempts
		s.Backoff = retry.BackoffDelayerFunc(func(attempt int, _ error) (time.Duration, error) {
			return backoff(attempt, o.MaxBackoff), nil
		})
	})
	return retry.AddWithErrorCodes(standard, "ConditionalRequestConflict", "OperationAborted")
}

// backoff is the pause after the given attempt, the first being 1: the whole range is random, so that brokers hit by one
// outage do not return together. The SDK's own begins at a second, which is long for somebody who waits for a Produce.
func backoff(attempt int, most time.Duration) time.Duration {
	ceiling := min(50*time.Millisecond<<min(max(attempt-1, 0), 16), most)
	return rand.N(ceiling + 1)
}

func limit(tr *http.Transport, o Options) {
	tr.MaxConnsPerHost = o.MaxConnections
	tr.MaxIdleConns = o.MaxConnections
	tr.MaxIdleConnsPerHost = o.MaxConnections
	tr.TLSHandshakeTimeout = o.ConnectTimeout
	tr.DisableCompression = true
	tr.WriteBufferSize = 64 << 10
	tr.ReadBufferSize = 64 << 10
	dialer := &net.Dialer{Timeout: o.ConnectTimeout, KeepAlive: 30 * time.Second}
	tr.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dialer.DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &stallConn{Conn: conn, timeout: o.StallTimeout}, nil
	}
}

// stallConn fails the pending read and write of a connection on which no byte has moved for a time. A write moves the
// deadline of a read that waits already: net/http always has one waiting, and a long upload is no stall. An idle
// connection ends likewise, and net/http drops it.
type stallConn struct {
	net.Conn
	timeout time.Duration
}

func (c *stallConn) Read(p []byte) (int, error) {
	if err := c.SetDeadline(time.Now().Add(c.timeout)); err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}

func (c *stallConn) Write(p []byte) (int, error) {
	if err := c.SetDeadline(time.Now().Add(c.timeout)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}
