// Package rdsauth logs in to PostgreSQL on Amazon RDS and Aurora as a role of IAM: the password of each new connection is a
// token that the broker's own credentials sign, good for 15 minutes. No request is made for it, but what the AWS SDK asks to
// have credentials at all.
//
// The token names the database's host, port and user, so the host must be the one that AWS gave the database, and not another
// name for it.
package rdsauth

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/smithy-go/logging"
)

// credentialsTimeout bounds what the SDK asks for credentials: the instance's metadata, the task's, or STS.
const credentialsTimeout = 10 * time.Second

// ErrNoRegion: nothing tells in which region the database is.
var ErrNoRegion = errors.New("the region of the database is not known: its host name has none, and neither object_store.region nor AWS_REGION is set")

// Options say who logs in, and where. The zero value is right on AWS.
type Options struct {
	// Region of databases whose host name does not tell it. Default what the SDK's chain says (AWS_REGION, profile).
	Region string
	// Credentials default to the SDK's chain (environment, profile, instance or task role).
	Credentials aws.CredentialsProvider
}

// Tokens are made as they are needed. It is safe for concurrent use.
type Tokens struct {
	region      string
	credentials aws.CredentialsProvider
}

// Open reads the SDK's configuration files and sends nothing.
func Open(ctx context.Context, o Options) (*Tokens, error) {
	t := &Tokens{region: o.Region, credentials: o.Credentials}
	if t.credentials != nil && t.region != "" {
		return t, nil
	}
	cfg, err := config.LoadDefaultConfig(ctx, config.WithAppID("runnel"), config.WithLogger(logging.Nop{})) // its log would go past ours
	if err != nil {
		return nil, fmt.Errorf("load AWS configuration for the metastore: %w", err)
	}
	if t.region == "" {
		t.region = cfg.Region
	}
	if t.credentials == nil {
		t.credentials = cfg.Credentials
	}
	return t, nil
}

// Password returns a token for one connection; see postgres.Password.
func (t *Tokens) Password(ctx context.Context, host string, port uint16, user string) (string, error) {
	region := Region(host)
	if region == "" {
		region = t.region
	}
	if region == "" {
		return "", ErrNoRegion
	}
	ctx, cancel := context.WithTimeout(ctx, credentialsTimeout)
	defer cancel()
	credentials, err := t.credentials.Retrieve(ctx)
	if err != nil {
		return "", fmt.Errorf("get credentials of AWS to log in as %s: %w", user, err)
	}
	token, err := sign(ctx, credentials, net.JoinHostPort(host, strconv.Itoa(int(port))), region, user)
	if err != nil {
		return "", fmt.Errorf("make a token of IAM as %s: %w", user, err)
	}
	return token, nil
}

const (
	service  = "rds-db"
	lifetime = 15 * time.Minute // the most that RDS takes, of the time until a session begins
	// nothing is the hash of an empty body.
	nothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
)

// sign makes a token: the URL of a request that asks to connect, signed by its query (Signature Version 4), without its scheme.
func sign(ctx context.Context, credentials aws.Credentials, address, region, user string) (string, error) {
	query := url.Values{"Action": {"connect"}, "DBUser": {user}, "X-Amz-Expires": {strconv.Itoa(int(lifetime.Seconds()))}}
	u := url.URL{Scheme: "https", Host: address, Path: "/", RawQuery: query.Encode()}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return "", err
	}
	signed, _, err := v4.NewSigner().PresignHTTP(ctx, credentials, request, nothing, service, region, time.Now().UTC())
	return strings.TrimPrefix(signed, "https://"), err
}

// Region is that of a host of RDS or Aurora, NAME.ID.REGION.rds.amazonaws.com, "" of others.
func Region(host string) string {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	for _, domain := range []string{".rds.amazonaws.com", ".rds.amazonaws.com.cn"} {
		if name, ok := strings.CutSuffix(host, domain); ok {
			labels := strings.Split(name, ".")
			if len(labels) < 2 {
				return ""
			}
			return labels[len(labels)-1]
		}
	}
	return ""
}
