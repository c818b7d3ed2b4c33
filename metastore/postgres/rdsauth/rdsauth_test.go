package rdsauth

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

const (
	host   = "runnel.cabcdefghijk.eu-central-1.rds.amazonaws.com"
	access = "AKIAIOSFODNN7EXAMPLE"
	secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
)

// provider gives other credentials each time, as roles do over hours.
func provider(calls *atomic.Int64, session string) aws.CredentialsProvider {
	return aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		calls.Add(1)
		return aws.Credentials{AccessKeyID: access, SecretAccessKey: secret, SessionToken: session}, nil
	})
}

// TestTokens holds the form that RDS reads, and checks the signature by what AWS has published of it (Signature Version 4).
func TestTokens(t *testing.T) {
	for _, tt := range []struct{ name, host, fallback, region, session string }{
		{"instance", host, "", "eu-central-1", ""},
		{"role's credentials", host, "us-east-1", "eu-central-1", "a session/token+="},
		{"Aurora", "runnel.cluster-cabcdefghijk.us-gov-west-1.rds.amazonaws.com", "", "us-gov-west-1", ""},
		{"China", "runnel.cabcdefghijk.cn-north-1.rds.amazonaws.com.cn", "", "cn-north-1", ""},
		{"another name", "db.example.com", "eu-west-1", "eu-west-1", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var calls atomic.Int64
			tokens, err := Open(t.Context(), Options{Region: tt.fallback, Credentials: provider(&calls, tt.session)})
			if err != nil {
				t.Fatal(err)
			}
			before := time.Now().Add(-time.Second)
			token, err := tokens.Password(t.Context(), tt.host, 5432, "runnel user")
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(token, tt.host+":5432/?Action=connect&") {
				t.Fatalf("token begins as %.80s", token)
			}
			u, err := url.Parse("https://" + token)
			if err != nil {
				t.Fatal(err)
			}
			q := u.Query()
			for name, want := range map[string]string{
				"Action": "connect", "DBUser": "runnel user", "X-Amz-Expires": "900", "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
				"X-Amz-SignedHeaders": "host", "X-Amz-Security-Token": tt.session,
			} {
				if got := q.Get(name); got != want {
					t.Errorf("%s is %q, not %q", name, got, want)
				}
			}
			made, err := time.Parse("20060102T150405Z", q.Get("X-Amz-Date"))
			if err != nil || made.Before(before.Truncate(time.Second)) || made.After(time.Now()) {
				t.Errorf("made at %s: %v", made, err)
			}
			if want := access + "/" + made.Format("20060102") + "/" + tt.region + "/rds-db/aws4_request"; q.Get("X-Amz-Credential") != want {
				t.Errorf("credential %s, not %s", q.Get("X-Amz-Credential"), want)
			}
			if want := signature(u, tt.region, made); q.Get("X-Amz-Signature") != want {
				t.Errorf("signature %s, not %s", q.Get("X-Amz-Signature"), want)
			}
			if _, err := tokens.Password(t.Context(), tt.host, 5432, "other"); err != nil || calls.Load() != 2 {
				t.Errorf("%v; credentials were asked for %d times in 2 tokens", err, calls.Load())
			}
		})
	}
}

// signature is that of a presigned GET.
func signature(u *url.URL, region string, made time.Time) string {
	q := u.Query()
	q.Del("X-Amz-Signature")
	empty := sha256.Sum256(nil)
	canonical := strings.Join([]string{
		"GET", "/", strings.ReplaceAll(q.Encode(), "+", "%20"), "host:" + u.Host + "\n", "host", hex.EncodeToString(empty[:]),
	}, "\n")
	hashed := sha256.Sum256([]byte(canonical))
	day := made.Format("20060102")
	text := strings.Join([]string{
		"AWS4-HMAC-SHA256", made.Format("20060102T150405Z"), day + "/" + region + "/rds-db/aws4_request", hex.EncodeToString(hashed[:]),
	}, "\n")
	key := []byte("AWS4" + secret)
	for _, part := range []string{day, region, "rds-db", "aws4_request", text} {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(part))
		key = mac.Sum(nil)
	}
	return hex.EncodeToString(key)
}

// none keeps the SDK from what the machine has.
func none(t *testing.T) {
	t.Helper()
	for _, name := range []string{"AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} {
		t.Setenv(name, "")
	}
	t.Setenv("AWS_CONFIG_FILE", t.TempDir()+"/none")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", t.TempDir()+"/none")
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
}

func TestTheRegionComesFromTheEnvironmentLast(t *testing.T) {
	none(t)
	var calls atomic.Int64
	tokens, err := Open(t.Context(), Options{Credentials: provider(&calls, "")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tokens.Password(t.Context(), "db.example.com", 5432, "u"); !errors.Is(err, ErrNoRegion) {
		t.Errorf("%v", err)
	}
	t.Setenv("AWS_REGION", "sa-east-1")
	if tokens, err = Open(t.Context(), Options{Credentials: provider(&calls, "")}); err != nil {
		t.Fatal(err)
	}
	token, err := tokens.Password(t.Context(), "db.example.com", 5432, "u")
	if err != nil || !strings.Contains(token, "sa-east-1") {
		t.Errorf("%s, %v", token, err)
	}
}

func TestNoCredentials(t *testing.T) {
	none(t)
	tokens, err := Open(t.Context(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tokens.Password(t.Context(), host, 5432, "runnel"); err == nil || !strings.Contains(err.Error(), "get credentials of AWS to log in as runnel") {
		t.Errorf("%v", err)
	}
}

func TestRegion(t *testing.T) {
	for name, want := range map[string]string{
		host:                  "eu-central-1",
		strings.ToUpper(host): "eu-central-1",
		host + ".":            "eu-central-1",
		"p.proxy-c.ap-southeast-2.rds.amazonaws.com":  "ap-southeast-2",
		"eu-central-1.rds.amazonaws.com":              "",
		"rds.amazonaws.com":                           "",
		"x.y.eu-central-1.rds.amazonaws.com.evil.org": "",
		"10.0.0.1": "",
		"":         "",
	} {
		if got := Region(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}
