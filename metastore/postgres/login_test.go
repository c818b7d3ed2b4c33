package postgres

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/runnel-io/runnel/metastore"
)

// changing makes a role whose password is another whenever it is asked for: what was good for one connection is good for
// none after it. It returns the DSN of the role, without a password, and counts.
func changing(t *testing.T) (dsn string, password Password, asked *atomic.Int64) {
	t.Helper()
	superuser := server(t).String()
	role := "role_" + strings.ReplaceAll(metastore.NewSegmentID(time.Now()).String(), "-", "")
	admin := connect(t, superuser)
	exec(t, admin, "create role "+role+" login superuser password 'never told'")
	t.Cleanup(func() { // after the database, which has what is the role's
		conn, err := pgx.Connect(context.Background(), superuser)
		if err == nil {
			_, err = conn.Exec(context.Background(), "drop role "+role)
			_ = conn.Close(context.Background())
		}
		if err != nil {
			t.Errorf("drop role: %v", err)
		}
	})
	database := emptyDatabase(t)
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	wantHost, wantPort := u.Hostname(), u.Port()
	u.User = url.User(role)
	asked = new(atomic.Int64)
	one := make(chan struct{}, 1)
	return u.String(), func(ctx context.Context, host string, port uint16, user string) (string, error) {
		if host != wantHost || fmt.Sprint(port) != wantPort || user != role {
			return "", fmt.Errorf("asked for %s:%d as %s", host, port, user)
		}
		one <- struct{}{}
		defer func() { <-one }()
		fresh := fmt.Sprintf("token %d", asked.Add(1))
		_, err := admin.Exec(ctx, "alter role "+role+" password '"+fresh+"'")
		return fresh, err
	}, asked
}

// TestThePasswordIsAskedForEachConnection: of migrations as of the pools.
func TestThePasswordIsAskedForEachConnection(t *testing.T) {
	dsn, password, asked := changing(t)
	if _, err := Migrate(t.Context(), dsn); err == nil {
		t.Fatal("the server takes anybody: the test shows nothing")
	}
	if _, err := MigrateAs(t.Context(), dsn, Login{Password: password}); err != nil {
		t.Fatal(err)
	}
	migrated := asked.Load()
	if migrated == 0 {
		t.Fatal("migrations asked for no password")
	}
	s, err := Open(t.Context(), dsn, Options{Login: Login{Password: password}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for round := range 3 {
		s.resetPools() // as after an outage: all connections are new
		before := asked.Load()
		if _, err := s.ClusterID(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := s.End(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := asked.Load() - before; got < 2 {
			t.Errorf("round %d: %d passwords for two pools that had no connection", round, got)
		}
	}
}

// TestAPasswordThatCannotBeHadIsTold, and nothing is tried without it.
func TestAPasswordThatCannotBeHadIsTold(t *testing.T) {
	no := errors.New("no credentials")
	login := Login{Password: func(context.Context, string, uint16, string) (string, error) { return "", no }}
	const dsn = "postgres://u@127.0.0.1:1/db"
	s, err := Open(t.Context(), dsn, Options{Login: login})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.ClusterID(t.Context()); !errors.Is(err, no) || !strings.Contains(err.Error(), "password for 127.0.0.1") {
		t.Errorf("%v", err)
	}
	if _, err := MigrateAs(t.Context(), dsn, login); !errors.Is(err, no) {
		t.Errorf("%v", err)
	}
}

func TestAuthoritiesNeedVerification(t *testing.T) {
	for _, tt := range []struct {
		dsn, authorities string
		want             error
	}{
		{"postgres://u@h/d?sslmode=verify-full", "no certificate", errNoCertificates},
		{"postgres://u@h/d?sslmode=verify-full", somebody, nil},
		{"postgres://u@h/d?sslmode=verify-ca", somebody, errNotVerified},
		{"postgres://u@h/d?sslmode=require", somebody, errNotVerified},
		{"postgres://u@h/d?sslmode=disable", somebody, errNotVerified},
		{"postgres://u@h/d", somebody, errNotVerified},
	} {
		s, err := Open(t.Context(), tt.dsn, Options{Login: Login{Authorities: []byte(tt.authorities)}})
		if !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.dsn, err, tt.want)
		}
		if err == nil {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			continue
		}
		if _, err := MigrateAs(t.Context(), tt.dsn, Login{Authorities: []byte(tt.authorities)}); !errors.Is(err, tt.want) {
			t.Errorf("migrate %s: %v, want %v", tt.dsn, err, tt.want)
		}
	}
}

// somebody is the certificate of an authority.
const somebody = `
-----BEGIN CERTIFICATE-----
MIIBfTCCASOgAwIBAgIUMAWTJC6zG6YtmfbLVyGU3/fFUgMwCgYIKoZIzj0EAwIw
EzERMA8GA1UEAwwIc29tZWJvZHkwIBcNMjYxMTMwMTk0MTA4WhgPMjEyNjExMDYx
OTQxMDhaMBMxETAPBgNVBAMMCHNvbWVib2R5MFkwEwYHKoZIzj0CAQYIKoZIzj0D
AQcDQgAE4XiRA33ZElC+JfjnXOgsH/xNufwSboUOGPFcL6pL1mu3RKyhwVInqS7t
ZL1+urvj7510Lhs002CqZwwjDih7TqNTMFEwHQYDVR0OBBYEFPEu5TbQywXf3t2h
ST8b5LodkANzMB8GA1UdIwQYMBaAFPEu5TbQywXf3t2hST8b5LodkANzMA8GA1Ud
EwEB/wQFMAMBAf8wCgYIKoZIzj0EAwIDSAAwRQIgUvZCqtjoInu44N2879PS59ee
1f252VZPnVGnqWwTxFUCIQDrAqO0mOffWo7g30akjA5BScla0bJijJbeyLNCQ9ic
bg==
-----END CERTIFICATE-----
`
