package place

import (
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// api answers as the API server of a cluster does to one account, over TLS.
type api struct {
	labels  string // of the node, JSON
	images  int    // bytes of other things that the node says
	node    string // of the pod
	ip      string
	refuses string // what the account may not have: "pods", "nodes"
	asked   []string
}

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.asked = append(a.asked, r.Method+" "+r.URL.Path)
	parts := strings.Split(r.URL.Path, "/")
	switch {
	case r.Header.Get("Authorization") != "Bearer account.token":
		w.WriteHeader(http.StatusUnauthorized)
	case a.refuses != "" && strings.Contains(r.URL.Path, "/"+a.refuses+"/"):
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprint(w, `{"kind":"Status","status":"Failure","reason":"Forbidden","code":403}`)
	case r.URL.Path == "/api/v1/namespaces/streams/pods/runnel-0":
		fmt.Fprintf(w, `{"kind":"Pod","metadata":{"name":"runnel-0"},"spec":{"nodeName":%q},"status":{"podIP":%q,"podIPs":[{"ip":%q}]}}`, a.node, a.ip, a.ip)
	case strings.HasPrefix(r.URL.Path, "/api/v1/nodes/"):
		fmt.Fprintf(w, `{"kind":"Node","metadata":{"name":%q,"labels":%s},"status":{"images":[{"names":[%q]}]}}`, parts[len(parts)-1], a.labels, large(a.images))
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

const labels = `{"kubernetes.io/arch":"amd64","topology.kubernetes.io/region":"eu-central-1","topology.kubernetes.io/zone":"eu-central-1c"}`

func TestPod(t *testing.T) {
	const pod, node = "GET /api/v1/namespaces/streams/pods/runnel-0", "GET /api/v1/nodes/node-7"
	for _, tt := range []struct {
		name     string
		api      *api
		env      map[string]string
		ask      Ask
		zone, ip string
		err      string
		asked    []string // nil: whatever
	}{
		{"told by the downward API", &api{labels: labels}, map[string]string{"NODE_NAME": "node-7", "POD_IP": "10.1.2.3"}, both, "eu-central-1c", "10.1.2.3", "", []string{node}},
		{"told nothing", &api{labels: labels, node: "node-7", ip: "10.1.2.3"}, nil, both, "eu-central-1c", "10.1.2.3", "", []string{pod, node}},
		{"the pod has another name than its host", &api{labels: labels, node: "node-7", ip: "fd00::3"},
			map[string]string{"POD_NAME": "runnel-0", "POD_NAMESPACE": "streams"}, both, "eu-central-1c", "fd00::3", "", []string{pod, node}},
		{"address alone needs nobody", &api{}, map[string]string{"POD_IP": "10.1.2.3"}, Ask{Address: true}, "", "10.1.2.3", "", []string{}},
		{"zone alone", &api{labels: labels}, map[string]string{"NODE_NAME": "node-7"}, Ask{Zone: true}, "eu-central-1c", "", "", []string{node}},
		{"a node with many images", &api{labels: labels, images: mostAnswer / 2}, map[string]string{"NODE_NAME": "node-7", "POD_IP": "10.1.2.3"}, both, "eu-central-1c", "10.1.2.3", "", nil},
		{"a node without a zone", &api{labels: "{}"}, map[string]string{"NODE_NAME": "node-7", "POD_IP": "10.1.2.3"}, both, "", "", "the node node-7 has no label topology.kubernetes.io/zone", nil},
		{"may not get nodes", &api{labels: labels, refuses: "nodes"}, map[string]string{"NODE_NAME": "node-7", "POD_IP": "10.1.2.3"}, both, "", "", "service account needs leave to get nodes", nil},
		{"may not get pods", &api{refuses: "pods"}, nil, both, "", "", "leave to get pods in its namespace, or NODE_NAME and POD_IP in its environment", nil},
		{"not scheduled yet", &api{labels: labels}, nil, both, "", "", "the pod runnel-0 has no node or address yet", nil},
		{"a node's name with slashes", &api{labels: "{}"}, map[string]string{"NODE_NAME": "../pods/x", "POD_IP": "10.1.2.3"}, both, "", "", "has no label", nil},
		{"garbage", &api{labels: "<html>"}, map[string]string{"NODE_NAME": "node-7", "POD_IP": "10.1.2.3"}, both, "", "", "read the answer to GET", nil},
		{"huge", &api{labels: labels, images: mostAnswer}, map[string]string{"NODE_NAME": "node-7", "POD_IP": "10.1.2.3"}, both, "", "", "has more than", nil},
		{"wrong IP in the environment", &api{labels: labels}, map[string]string{"NODE_NAME": "node-7", "POD_IP": "$(POD_IP)"}, both, "", "", "is \"$(POD_IP)\", no address", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := inPod(t, tt.api, tt.env)
			check(t, o, tt.ask, Place{Platform: Kubernetes, Zone: tt.zone}, tt.ip, tt.err)
			if tt.asked != nil && strings.Join(tt.api.asked, ", ") != strings.Join(tt.asked, ", ") {
				t.Errorf("asked %q, want %q", tt.api.asked, tt.asked)
			}
		})
	}
}

// inPod serves the API and says so in a pod's environment.
func inPod(t *testing.T, h http.Handler, env map[string]string) Options {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // of clients that do not trust it
	s.StartTLS()
	t.Cleanup(s.Close)
	host, port, err := net.SplitHostPort(s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{kubernetesVariable: host, "KUBERNETES_SERVICE_PORT": port}
	for name, text := range env {
		all[name] = text
	}
	o := quick(all)
	o.AccountDir = account(t, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))
	return o
}

func TestPodWithoutWhatItNeeds(t *testing.T) {
	env := map[string]string{"NODE_NAME": "node-7", "POD_IP": "10.1.2.3"}
	change := func(file, content string) func(o *Options) {
		return func(o *Options) {
			name := filepath.Join(o.AccountDir, file)
			err := os.Remove(name)
			if content != "" {
				err = os.WriteFile(name, []byte(content), 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, tt := range []struct {
		name   string
		change func(o *Options)
		err    string
	}{
		{"no account", change("token", ""), "no service account mounted (automountServiceAccountToken)"},
		{"a token that cannot be sent", change("token", "a\r\nHost: b"), "holds what is no token"},
		{"another's token", change("token", "other"), "answers 401 Unauthorized"},
		{"another authority", change("ca.crt", "none"), "certificate signed by unknown authority"},
		{"no namespace", func(o *Options) {
			o.Getenv = func(name string) string {
				return map[string]string{kubernetesVariable: "127.0.0.1", "KUBERNETES_SERVICE_PORT": "1"}[name]
			}
			change("namespace", "")(o)
		}, "no service account mounted"},
		{"no name", func(o *Options) {
			o.Getenv = func(name string) string {
				return map[string]string{kubernetesVariable: "127.0.0.1", "KUBERNETES_SERVICE_PORT": "1"}[name]
			}
			o.Hostname = func() (string, error) { return "", errNoHost }
		}, "read the pod's name: no host name"},
		{"nobody there", func(o *Options) {
			o.Getenv = func(name string) string {
				return map[string]string{kubernetesVariable: "127.0.0.1", "KUBERNETES_SERVICE_PORT": "1", "NODE_NAME": "n", "POD_IP": "10.1.2.3"}[name]
			}
		}, "connection refused"},
		{"no port", func(o *Options) {
			o.Getenv = func(name string) string { return map[string]string{kubernetesVariable: "127.0.0.1"}[name] }
		}, "KUBERNETES_SERVICE_PORT are not set"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := inPod(t, &api{labels: labels}, env)
			tt.change(&o)
			check(t, o, both, Place{}, "", tt.err)
		})
	}
}
