package place

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

// pod is asked by the API server, as the pod's service account. It needs leave to get nodes, for the zone; and to get pods in its
// namespace only if the environment has neither NODE_NAME nor POD_IP, which the downward API puts there.
type pod struct {
	*client
	at       string
	dir      string // of the service account
	getenv   func(string) string
	hostname func() (string, error)
}

// zoneLabel is that of nodes (kubernetes.io, well-known labels).
const zoneLabel = "topology.kubernetes.io/zone"

// mostFile bounds the files of a service account.
const mostFile = 1 << 20

func newPod(o Options) (platform, error) {
	host, port := o.Getenv(kubernetesVariable), o.Getenv("KUBERNETES_SERVICE_PORT")
	if host == "" || port == "" {
		return nil, fmt.Errorf("%s and KUBERNETES_SERVICE_PORT are not set, as they are in pods", kubernetesVariable)
	}
	p := &pod{at: "https://" + net.JoinHostPort(host, port), dir: o.AccountDir, getenv: o.Getenv, hostname: o.Hostname}
	// Whether there is an account at all shows when the API has to be asked: an address alone needs none.
	authority, err := readFile(filepath.Join(p.dir, "ca.crt"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(authority))
	p.client = newClient(o.Request, &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12})
	return p, nil
}

func (p *pod) find(ctx context.Context, ask Ask) (found Place, err error) {
	if ask.Name {
		return found, lasting("pods have no name in DNS of their own: give the one that a headless service gives them")
	}
	node, address := p.getenv("NODE_NAME"), p.getenv("POD_IP")
	if ask.Zone && node == "" || ask.Address && address == "" {
		if node, address, err = p.self(ctx); err != nil {
			return found, err
		}
	}
	if ask.Address {
		if found.Address, err = netip.ParseAddr(address); err != nil {
			return found, fmt.Errorf("the pod's IP is %.60q, no address", address)
		}
	}
	if ask.Zone {
		found.Zone, err = p.zone(ctx, node)
	}
	return found, err
}

// self is the pod's node and address.
func (p *pod) self(ctx context.Context) (node, address string, err error) {
	name := p.getenv("POD_NAME")
	if name == "" {
		if name, err = p.hostname(); err != nil {
			return "", "", fmt.Errorf("read the pod's name: %w", err)
		}
	}
	namespace := p.getenv("POD_NAMESPACE")
	if namespace == "" {
		if namespace, err = readFile(filepath.Join(p.dir, "namespace")); err != nil {
			return "", "", p.noAccount(err)
		}
	}
	var said struct {
		Spec   struct{ NodeName string }
		Status struct{ PodIP string }
	}
	path := "/api/v1/namespaces/" + url.PathEscape(namespace) + "/pods/" + url.PathEscape(name)
	if err := p.get(ctx, path, "get pods in its namespace, or NODE_NAME and POD_IP in its environment", &said); err != nil {
		return "", "", err
	}
	if said.Spec.NodeName == "" || said.Status.PodIP == "" {
		return "", "", fmt.Errorf("the pod %s has no node or address yet", name)
	}
	return said.Spec.NodeName, said.Status.PodIP, nil
}

// zone is that of a node.
func (p *pod) zone(ctx context.Context, node string) (string, error) {
	var said struct {
		Metadata struct{ Labels map[string]string }
	}
	if err := p.get(ctx, "/api/v1/nodes/"+url.PathEscape(node), "get nodes", &said); err != nil {
		return "", err
	}
	zone := said.Metadata.Labels[zoneLabel]
	if zone == "" {
		return "", fmt.Errorf("the node %s has no label %s", node, zoneLabel)
	}
	return zone, nil
}

// get asks the API as the service account, whose token is replaced from time to time.
func (p *pod) get(ctx context.Context, path, need string, into any) error {
	token, err := readFile(filepath.Join(p.dir, "token"))
	if err != nil {
		return p.noAccount(err)
	}
	if !isBearer(token) {
		return lasting("%s holds what is no token", filepath.Join(p.dir, "token"))
	}
	err = p.jsonWith(ctx, p.at+path, map[string]string{"Authorization": "Bearer " + token, "Accept": "application/json"}, into)
	if hasStatus(err, http.StatusForbidden) {
		return fmt.Errorf("%w: the pod's service account needs leave to %s", err, need)
	}
	return err
}

func isBearer(token string) bool {
	return token != "" && !strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' })
}

func (p *pod) noAccount(err error) error {
	return lasting("the pod has no service account mounted (automountServiceAccountToken): %w", err)
}

// readFile returns a short file without white space around it.
func readFile(name string) (string, error) {
	file, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, mostFile))
	return strings.TrimSpace(string(data)), err
}
