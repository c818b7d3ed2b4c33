package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/runnel-io/runnel/broker/acl"
)

// authorizerClass is what tools know an authorizer by that decides as ours.
const authorizerClass = "org.apache.kafka.metadata.authorizer.StandardAuthorizer"

// assembleAccess makes what decides what clients may do. Other brokers do not come this way: their port is their own.
func (n *Node) assembleAccess() {
	c := n.opts.Config
	n.access = acl.NewLive(n.replica, acl.LiveOptions{
		Mode:   acl.Mode(c.Access.Authorizer),
		Policy: acl.Policy{SuperUsers: acl.ParseSuperUsers(c.Cluster.SuperUsers), Everybody: c.Cluster.AllowEveryone},
		Logger: n.part("access"), Registerer: n.registry,
	})
	n.candidate = &candidateRules{path: c.Access.ShadowRules, access: n.access, log: n.part("access")}
}

// showAccess adds to the settings of a broker that are shown what it decides by.
func (n *Node) showAccess(shown map[string]string) map[string]string {
	if n.opts.Config.Access.Authorizer == string(acl.On) {
		shown["authorizer.class.name"] = authorizerClass
	}
	return shown
}

// candidateRules is the file of rules that are tried beside those in force.
type candidateRules struct {
	path   string // "": none
	access *acl.Live
	log    *slog.Logger
	last   os.FileInfo // what was read, or could not be; nil: nothing
	reason string      // why it could not
}

const (
	candidateEvery = time.Second
	mostCandidate  = 64 << 20 // bytes
)

// Run looks at the file until ctx ends.
func (c *candidateRules) Run(ctx context.Context) error {
	if c.path == "" {
		<-ctx.Done()
		return nil
	}
	tick := time.NewTicker(candidateEvery)
	defer tick.Stop()
	for {
		c.look()
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// look reads the file if it is another than before. Rules that cannot be read are told of once, and leave those before in
// place: they are on trial, and nothing to stop a broker for.
func (c *candidateRules) look() {
	info, err := os.Stat(c.path)
	if err == nil && c.last != nil && os.SameFile(info, c.last) && info.ModTime().Equal(c.last.ModTime()) && info.Size() == c.last.Size() {
		return
	}
	var rules []acl.Rule
	if err == nil {
		rules, err = readRules(c.path)
	}
	c.last = info
	if err == nil {
		c.reason = ""
		c.access.SetCandidate(rules)
		c.log.Info("trying access rules beside those in force", "file", c.path, "rules", len(rules))
		return
	}
	if c.reason != err.Error() {
		c.reason = err.Error()
		c.access.CandidateFailed()
		c.log.Error("access rules to try beside those in force cannot be read", "file", c.path, "error", err)
	}
}

// readRules returns the rules of a file, not nil if there are none.
func readRules(path string) (rules []acl.Rule, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	text, err := io.ReadAll(io.LimitReader(f, mostCandidate+1))
	if err != nil {
		return nil, err
	}
	if len(text) > mostCandidate {
		return nil, fmt.Errorf("the file has more than %d bytes", mostCandidate)
	}
	if rules, err = acl.ParseRules(string(text)); err == nil && rules == nil {
		rules = []acl.Rule{}
	}
	return rules, err
}
