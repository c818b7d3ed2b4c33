package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/runnel-io/runnel/broker/audit"
	"github.com/runnel-io/runnel/broker/certs"
	"github.com/runnel-io/runnel/broker/config"
	"github.com/runnel-io/runnel/broker/wire"
	"github.com/runnel-io/runnel/metastore"
)

// listener is an address on which Kafka clients are served.
type listener struct {
	config   *config.Listener
	bound    net.Listener
	endpoint *wire.Endpoint
}

// listenForClients binds every listener, or none.
func (n *Node) listenForClients(ctx context.Context) error {
	rules, err := certs.ParseRules(n.opts.Config.TLS.PrincipalRules)
	if err != nil {
		return fmt.Errorf("tls.principal_rules: %w", err)
	}
	source, err := n.clientCertificates()
	if err != nil {
		return err
	}
	for i := range n.opts.Config.Listeners {
		c := &n.opts.Config.Listeners[i]
		bound, err := n.opts.Network.Listen(ctx, "tcp", c.Listen)
		if err != nil {
			n.close()
			return fmt.Errorf("listen for Kafka clients: %w", err)
		}
		n.kafka = append(n.kafka, listener{config: c, bound: bound, endpoint: n.recorded(endpoint(c, source, rules, n.listenerConnections))})
	}
	return nil
}

// clientCertificates are those of the listeners with TLS, nil if there are none.
func (n *Node) clientCertificates() (*certs.Source, error) {
	c := n.opts.Config
	if !slices.ContainsFunc(c.Listeners, func(l config.Listener) bool { return l.HasTLS() }) {
		return nil, nil
	}
	return n.certs.Open("clients", certs.Files{Certificate: c.TLS.Certificate, Key: c.TLS.Key, Authority: c.TLS.ClientAuthority})
}

var clientAuth = map[string]certs.ClientAuth{config.ClientAuthRequested: certs.Requested, config.ClientAuthRequired: certs.Required}

// listenerConnections is the setting listener.name.NAME.max.connections in force, 0 if there is none.
func (n *Node) listenerConnections(name string) int {
	return n.settings.Load().ListenerConnections(name)
}

func endpoint(c *config.Listener, source *certs.Source, rules *certs.Rules, set func(listener string) int) *wire.Endpoint {
	e := &wire.Endpoint{Name: c.Name, Protocol: c.Protocol, SASL: c.HasSASL(), Zone: c.Zone}
	e.MaxConnections = func() int { return cmp.Or(set(c.Name), c.MaxConnections) }
	if c.HasTLS() {
		e.TLS, e.Principal = source.Server(clientAuth[c.ClientAuth]), rules.Principal
	}
	return e
}

// recorded is an endpoint of which logins by certificate are recorded; those by SASL are by whoever serves them.
func (n *Node) recorded(e *wire.Endpoint) *wire.Endpoint {
	e.Proved = func(c *wire.Conn, refused error) {
		event := audit.Event{
			Kind: audit.Authentication, Principal: c.Session().Principal, Host: c.ClientHost(), Listener: e.Name, Action: "TLS", Detail: "certificate",
		}
		if refused != nil {
			event.Failed, event.Detail = true, "certificate: "+refused.Error()
		}
		n.audit.Record(event)
	}
	return e
}

// advertise are the listeners as other brokers, and by them clients, are told of them.
func (n *Node) advertise() ([]metastore.Listener, error) {
	var listeners []metastore.Listener
	for _, l := range n.kafka {
		host, port, err := l.config.Advertised(l.bound.Addr())
		if err != nil {
			return nil, fmt.Errorf("listener %s: %w", l.config.Name, err)
		}
		listeners = append(listeners, metastore.Listener{Name: l.config.Name, Host: host, Port: port, Protocol: l.config.Protocol})
	}
	return listeners, nil
}

// serveClients serves all listeners. What is received, once for each, is why one ended: wire.ErrServerClosed after Shutdown.
func (n *Node) serveClients(ctx context.Context) chan error {
	served := make(chan error, len(n.kafka))
	for _, l := range n.kafka {
		go func() {
			err := n.server.Serve(ctx, l.bound, l.endpoint)
			if err != nil && !errors.Is(err, wire.ErrServerClosed) {
				err = fmt.Errorf("listener %s: %w", l.config.Name, err)
			}
			served <- err
		}()
		n.log.Info("serving Kafka clients", "listener", l.config.Name, "protocol", l.config.Protocol, "address", l.bound.Addr().String(),
			"node_id", n.members.Self().NodeID)
	}
	return served
}

// shown are the settings of this broker that DescribeConfigs reports beside the cluster's.
func (n *Node) shown() map[string]string {
	var listeners []string
	for _, l := range n.kafka {
		listeners = append(listeners, l.config.Name+"://"+l.bound.Addr().String())
	}
	return map[string]string{"listeners": strings.Join(listeners, ",")}
}

// Addr is the address that Kafka clients of the first listener reach.
func (n *Node) Addr() net.Addr { return n.kafka[0].bound.Addr() }

// AddrOf is the address of a listener by its name, nil if there is none.
func (n *Node) AddrOf(name string) net.Addr {
	for _, l := range n.kafka {
		if l.config.Name == name {
			return l.bound.Addr()
		}
	}
	return nil
}
