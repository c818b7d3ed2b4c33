package s3

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/runnel-io/runnel/objstore"
)

// Options say which bucket to use, and how.
type Options struct {
	// Bucket is required.
	Bucket string
	// Prefix is put before every key, with a slash between; the store sees nothing outside it. Default none.
	Prefix string
	// Region of the bucket. Default what the SDK's chain says (AWS_REGION, profile), with an Endpoint else us-east-1.
	Region string
	// Endpoint is the URL of an S3 server. Default AWS.
	Endpoint string
	// PathStyle puts the bucket in the path instead of the host name, as servers without wildcard DNS need.
	PathStyle bool
	// AccessKey and SecretKey are static credentials. Default the SDK's chain (environment, profile, role).
	AccessKey, SecretKey string
	// SessionToken goes with temporary static credentials.
	SessionToken string

	// MaxConnections bounds the open connections; requests beyond wait for one. Default 256.
	MaxConnections int
	// ConnectTimeout bounds connecting, and the TLS handshake. Default 5 s.
	ConnectTimeout time.Duration
	// StallTimeout ends a request on whose connection no byte has moved for so long. A request that makes progress, however
	// slow, is bounded by its context alone. Default 20 s.
	StallTimeout time.Duration
	// Attempts is how often a request is tried in all. Default 5.
	Attempts int
	// MaxBackoff bounds the pause between attempts, which is random below 50 ms, 100 ms, 200 ms and so on. Default 2 s.
	MaxBackoff time.Duration
}

func (o Options) withDefaults() Options {
	if o.Prefix != "" {
		o.Prefix = strings.TrimSuffix(o.Prefix, "/") + "/"
	}
	if o.MaxConnections == 0 {
		o.MaxConnections = 256
	}
	if o.ConnectTimeout == 0 {
		o.ConnectTimeout = 5 * time.Second
	}
	if o.StallTimeout == 0 {
		o.StallTimeout = 20 * time.Second
	}
	if o.Attempts == 0 {
		o.Attempts = 5
	}
	if o.MaxBackoff == 0 {
		o.MaxBackoff = 2 * time.Second
	}
	return o
}

// validate returns what is wrong with the options.
func (o Options) validate() error {
	var errs []error
	if o.Bucket == "" {
		errs = append(errs, errors.New("no bucket"))
	}
	if o.Prefix != "" {
		if err := objstore.ValidKey(strings.TrimSuffix(o.Prefix, "/")); err != nil {
			errs = append(errs, fmt.Errorf("prefix: %w", err))
		}
	}
	if o.Endpoint != "" {
		u, err := url.Parse(o.Endpoint)
		if err == nil && (u.Scheme != "http" && u.Scheme != "https" || u.Host == "") {
			err = errors.New("neither http nor https with a host")
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("endpoint %q: %w", o.Endpoint, err))
		}
	}
	if (o.AccessKey == "") != (o.SecretKey == "") {
		errs = append(errs, errors.New("access key and secret key go together"))
	}
	if o.SessionToken != "" && o.AccessKey == "" {
		errs = append(errs, errors.New("a session token goes with an access key"))
	}
	if o.MaxConnections < 0 || o.ConnectTimeout < 0 || o.StallTimeout < 0 || o.Attempts < 0 || o.MaxBackoff < 0 {
		errs = append(errs, errors.New("a limit is negative"))
	}
	return errors.Join(errs...)
}
