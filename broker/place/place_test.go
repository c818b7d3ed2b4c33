package place

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var both = Ask{Zone: true, Address: true}

// quick asks as is asked, but for times.
func quick(env map[string]string) Options {
	return Options{
		Request: 5 * time.Second, Total: 20 * time.Second, Pause: time.Millisecond,
		Getenv:     func(name string) string { return env[name] },
		InstanceAt: "http://127.0.0.1:1", AccountDir: "/does/not/exist",
		Hostname: func() (string, error) { return "runnel-0", nil },
	}
}

func serve(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

// A task of Fargate, as the agent describes it; what is not looked at is left out.
const fargate = `{
  "Cluster": "arn:aws:ecs:eu-central-1:111122223333:cluster/default", "TaskARN": "arn:aws:ecs:eu-central-1:111122223333:task/default/e9028f8d",
  "Family": "runnel", "Revision": "8", "DesiredStatus": "RUNNING", "KnownStatus": "NONE", "Limits": {"CPU": 1, "Memory": 2048},
  "LaunchType": "FARGATE", "AvailabilityZone": "eu-central-1b",
  "Containers": [
    {"DockerId": "1", "Name": "init", "Networks": []},
    {"DockerId": "2", "Name": "runnel", "KnownStatus": "RUNNING",
     "Networks": [{"NetworkMode": "awsvpc", "IPv4Addresses": ["10.0.2.61"], "AttachmentIndex": 0, "MACAddress": "0e:10:e2:01:bd:91",
       "IPv4SubnetCIDRBlock": "10.0.2.0/24", "PrivateDNSName": "ip-10-0-2-61.eu-central-1.compute.internal", "SubnetGatewayIpv4Address": "10.0.2.1/24"}]}
  ]
}`

// TestNames are asked for apart: a platform that has none is none the worse for who wants an address.
func TestNames(t *testing.T) {
	wanted := Ask{Name: true}
	withName := Ask{Zone: true, Address: true, Name: true}
	const name = "ip-10-0-2-61.eu-central-1.compute.internal"
	for _, tt := range []struct {
		name, answer string
		ask          Ask
		want         Place
		err          string
	}{
		{"of a task", fargate, withName, Place{Zone: "eu-central-1b", Address: netip.MustParseAddr("10.0.2.61"), Name: name}, ""},
		{"that a task does not have", strings.Replace(fargate, "PrivateDNSName", "Other", 1), wanted, Place{}, "it tells no name"},
		{"that nobody resolves", strings.Replace(fargate, name, "ip-10-0-2-61", 1), wanted, Place{}, `"ip-10-0-2-61" is no name that others could resolve`},
		{"with spaces", strings.Replace(fargate, name, "a b.c", 1), wanted, Place{}, `"a b.c" is no name that others could resolve`},
		{"with nothing between dots", strings.Replace(fargate, name, "a..c", 1), wanted, Place{}, `"a..c" is no name`},
		{"with hyphens at the end", strings.Replace(fargate, name, "a-.c", 1), wanted, Place{}, `"a-.c" is no name`},
		{"that is long", strings.Replace(fargate, name, strings.Repeat("a.", 127)+"c", 1), wanted, Place{}, "is no name"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := quick(taskEnv(serve(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, tt.answer) })))
			tt.want.Platform = ECS
			if tt.err == "" {
				if got, err := Find(t.Context(), tt.ask, o); err != nil || got != tt.want {
					t.Errorf("%+v, %v; want %+v", got, err, tt.want)
				}
				return
			}
			check(t, o, tt.ask, tt.want, "", tt.err)
		})
	}
	for host, want := range map[string]string{name: name, name + " corp.example.com": name, "": "local-hostname answers 404", "localhost": "no name that others could resolve"} {
		m := &metadata{host: host, token: "secret=="}
		o := quick(nil)
		o.InstanceAt, o.attempts = serve(t, m.ServeHTTP), 1
		if got, err := Find(t.Context(), wanted, o); got.Name != want && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("an instance named %q: %+v, %v", host, got, err)
		}
	}
	o := quick(map[string]string{kubernetesVariable: "10.0.0.1", "KUBERNETES_SERVICE_PORT": "443", "POD_IP": "10.0.0.7"})
	if _, err := Find(t.Context(), Ask{Address: true, Name: true}, o); err == nil || !strings.Contains(err.Error(), "pods have no name in DNS") {
		t.Errorf("a pod: %v", err)
	}
}

func taskEnv(url string) map[string]string {
	return map[string]string{ecsVariable: url + "/v4/abc-123", kubernetesVariable: "10.0.0.1"} // the task's metadata comes first
}

func TestTask(t *testing.T) {
	for _, tt := range []struct {
		name, answer string
		ask          Ask
		zone, ip     string
		err          string
	}{
		{"Fargate", fargate, both, "eu-central-1b", "10.0.2.61", ""},
		{"IPv6 alone", strings.Replace(fargate, `"IPv4Addresses": ["10.0.2.61"]`, `"IPv6Addresses": ["2600:1f14::1"]`, 1), both, "eu-central-1b", "2600:1f14::1", ""},
		{"zone of a task in mode bridge", strings.ReplaceAll(fargate, "awsvpc", "bridge"), Ask{Zone: true}, "eu-central-1b", "", ""},
		{"address of a task in mode bridge", strings.ReplaceAll(fargate, "awsvpc", "bridge"), both, "", "", `network mode is "bridge"`},
		{"address of a task in mode host", strings.ReplaceAll(fargate, "awsvpc", "host"), both, "", "", "or host with advertise: auto:ec2"},
		{"no zone", strings.Replace(fargate, "AvailabilityZone", "Zone", 1), both, "", "", "it tells no zone"},
		{"no zone, and none is wanted", strings.Replace(fargate, "AvailabilityZone", "Zone", 1), Ask{Address: true}, "", "10.0.2.61", ""},
		{"no networks yet", strings.ReplaceAll(fargate, "Networks", "Later"), both, "", "", "tells no address of any container"},
		{"garbage", "<html>", both, "", "", "read the answer to GET"},
		{"nothing", "", both, "", "", "read the answer to GET"},
		{"another kind of JSON", `["eu-central-1b"]`, both, "", "", "cannot unmarshal"},
		{"a zone that cannot be named", strings.Replace(fargate, "eu-central-1b", "a, b", 1), both, "", "", `"a, b" is no name of a zone`},
		{"a long zone", strings.Replace(fargate, "eu-central-1b", strings.Repeat("z", 101), 1), both, "", "", "is too long for a zone"},
		{"loopback", strings.Replace(fargate, "10.0.2.61", "127.0.0.1", 1), both, "", "", `"127.0.0.1" is no address that others could reach`},
		{"link-local", strings.Replace(fargate, "10.0.2.61", "169.254.1.1", 1), both, "", "", "is no address that others could reach"},
		{"huge", `{"AvailabilityZone": "` + strings.Repeat("x", mostAnswer) + `"}`, both, "", "", "has more than 1048576 bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var asked string
			o := quick(taskEnv(serve(t, func(w http.ResponseWriter, r *http.Request) {
				asked = r.Method + " " + r.URL.Path
				fmt.Fprint(w, tt.answer)
			})))
			check(t, o, tt.ask, Place{Platform: ECS, Zone: tt.zone}, tt.ip, tt.err)
			if asked != "GET /v4/abc-123/task" {
				t.Errorf("asked %s", asked)
			}
		})
	}
}

func check(t *testing.T, o Options, ask Ask, want Place, ip, wrong string) {
	t.Helper()
	if wrong != "" {
		o.attempts = 2
	}
	got, err := Find(t.Context(), ask, o)
	if wrong != "" {
		if err == nil || !strings.Contains(err.Error(), wrong) || !strings.Contains(err.Error(), "set zone and advertise") {
			t.Errorf("%+v, %v; want an error with %q", got, err, wrong)
		}
		return
	}
	if ip != "" {
		want.Address = netip.MustParseAddr(ip)
	}
	if err != nil || got != want {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
}

func TestTaskMetadataIsAskedWhereItLivesOnly(t *testing.T) {
	for _, at := range []string{"https://169.254.170.2/v4/x", "http://example.com/v4/x", "http://10.0.0.1/v4", "file:///etc/passwd", "169.254.170.2", "http://%zz"} {
		_, err := Find(t.Context(), both, quick(map[string]string{ecsVariable: at}))
		if err == nil || !strings.Contains(err.Error(), ecsVariable+" is ") {
			t.Errorf("%s: %v", at, err)
		}
	}
	o := quick(nil)
	o.Platform = ECS
	if _, err := Find(t.Context(), both, o); err == nil || !strings.Contains(err.Error(), ecsVariable+" is not set") {
		t.Errorf("%v", err)
	}
}

// metadata answers as an instance does: nothing without a token that it gave, and that by PUT alone.
type metadata struct {
	zone, ip string
	host     string
	token    string
	puts     atomic.Int64
	late     int64 // so many PUTs are answered by 503
}

func (m *metadata) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/latest/api/token" {
		switch n := m.puts.Add(1); {
		case r.Method != http.MethodPut:
			w.WriteHeader(http.StatusMethodNotAllowed)
		case r.Header.Get("X-Aws-Ec2-Metadata-Token-Ttl-Seconds") == "" || r.Header.Get("X-Forwarded-For") != "":
			w.WriteHeader(http.StatusBadRequest)
		case n <= m.late:
			w.WriteHeader(http.StatusServiceUnavailable)
		default:
			fmt.Fprint(w, m.token)
		}
		return
	}
	if r.Header.Get("X-Aws-Ec2-Metadata-Token") != "secret==" || r.Method != http.MethodGet {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	switch text := map[string]string{"/latest/meta-data/placement/availability-zone": m.zone, "/latest/meta-data/local-ipv4": m.ip, "/latest/meta-data/local-hostname": m.host}[r.URL.Path]; text {
	case "":
		w.WriteHeader(http.StatusNotFound)
	default:
		fmt.Fprint(w, text)
	}
}

func TestInstance(t *testing.T) {
	for _, tt := range []struct {
		name     string
		m        *metadata
		ask      Ask
		zone, ip string
		err      string
	}{
		{"as it is", &metadata{zone: "us-east-1a", ip: "172.31.0.7", token: "secret=="}, both, "us-east-1a", "172.31.0.7", ""},
		{"zone alone", &metadata{zone: "us-east-1a", token: "secret=="}, Ask{Zone: true}, "us-east-1a", "", ""},
		{"address alone", &metadata{ip: "172.31.0.7", token: "secret=="}, Ask{Address: true}, "", "172.31.0.7", ""},
		{"late", &metadata{zone: "us-east-1a", ip: "172.31.0.7", token: "secret==", late: 3}, both, "us-east-1a", "172.31.0.7", ""},
		{"token that does not work", &metadata{zone: "us-east-1a", token: "other"}, both, "", "", "availability-zone answers 401 Unauthorized"},
		{"token that is none", &metadata{zone: "us-east-1a", token: "<html>\r\n<body>"}, both, "", "", "answers what is no token"},
		{"empty token", &metadata{zone: "us-east-1a"}, both, "", "", "answers what is no token"},
		{"no zone", &metadata{ip: "172.31.0.7", token: "secret=="}, both, "", "", "availability-zone answers 404 Not Found"},
		{"no address", &metadata{zone: "us-east-1a", token: "secret=="}, both, "", "", "local-ipv4 answers 404 Not Found"},
		{"garbage for an address", &metadata{zone: "us-east-1a", ip: "<html>", token: "secret=="}, both, "", "", `local-ipv4: "<html>" is no address`},
		{"garbage for a zone", &metadata{zone: "<a b>", ip: "172.31.0.7", token: "secret=="}, both, "", "", `"<a b>" is no name of a zone`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := quick(nil) // neither ECS nor Kubernetes: it is an instance
			o.InstanceAt = serve(t, tt.m.ServeHTTP)
			check(t, o, tt.ask, Place{Platform: EC2, Zone: tt.zone}, tt.ip, tt.err)
			if want := tt.m.late + 1; tt.err == "" && tt.m.puts.Load() != want {
				t.Errorf("%d tokens, want %d", tt.m.puts.Load(), want)
			}
		})
	}
	o := quick(map[string]string{"AWS_EC2_METADATA_DISABLED": "true"})
	if _, err := Find(t.Context(), both, o); err == nil || !strings.Contains(err.Error(), "AWS_EC2_METADATA_DISABLED is set") {
		t.Errorf("%v", err)
	}
}

// TestSlowPlatforms: a request that is not answered ends by itself and is made again, and all of them end.
func TestSlowPlatforms(t *testing.T) {
	var asked atomic.Int64
	answers := &metadata{zone: "us-east-1a", ip: "172.31.0.7", token: "secret=="}
	at := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) <= 2 {
			<-r.Context().Done() // of whoever gave up
			return
		}
		answers.ServeHTTP(w, r)
	})
	o := quick(nil)
	o.InstanceAt, o.Request = at, 300*time.Millisecond
	check(t, o, both, Place{Platform: EC2, Zone: "us-east-1a"}, "172.31.0.7", "")

	for name, slow := range map[string]http.HandlerFunc{
		"never": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"halfway": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "100")
			fmt.Fprint(w, "us-")
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		},
	} {
		o.InstanceAt, o.Request, o.Total = serve(t, slow), 50*time.Millisecond, 250*time.Millisecond
		began := time.Now()
		_, err := Find(t.Context(), both, o)
		if err == nil || !strings.Contains(err.Error(), "ask ec2 where this broker is") || !strings.Contains(err.Error(), "/latest/api/token") {
			t.Errorf("%s: %v", name, err)
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("%s: took %s", name, took)
		}
	}
}

func TestWhoeverStopsIsNotKept(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	o := quick(nil)
	o.InstanceAt = serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
		cancel()
	})
	o.Pause = time.Hour
	if _, err := Find(ctx, both, o); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// TestNobodyIsInBetween: neither a proxy of the environment nor a redirect is followed.
func TestNobodyIsInBetween(t *testing.T) {
	var strayed atomic.Int64
	other := serve(t, func(http.ResponseWriter, *http.Request) { strayed.Add(1) })
	t.Setenv("HTTP_PROXY", other)
	t.Setenv("http_proxy", other)
	o := quick(nil)
	o.InstanceAt = serve(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other+r.URL.Path, http.StatusTemporaryRedirect)
	})
	check(t, o, both, Place{}, "", "answers 307 Temporary Redirect")
	o.InstanceAt = "http://192.0.2.1" // nobody's (RFC 5737); a proxy would be asked for it, as it is not for loopback
	o.Request = 50 * time.Millisecond
	check(t, o, both, Place{}, "", "192.0.2.1")
	if strayed.Load() > 0 {
		t.Errorf("%d requests went elsewhere", strayed.Load())
	}
}

func TestUnknownPlatform(t *testing.T) {
	o := quick(nil)
	o.Platform = "mainframe"
	check(t, o, both, Place{}, "", "ask mainframe where this broker is: nothing is known of such a platform")
}

// account makes the files that Kubernetes mounts into a pod.
func account(t *testing.T, authority []byte) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for name, content := range map[string][]byte{"ca.crt": authority, "token": []byte("account.token\n"), "namespace": []byte("streams")} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

var errNoHost = errors.New("no host name")

func large(n int) string { return string(bytes.Repeat([]byte{'x'}, n)) }
