package node

import (
	"context"
	"fmt"
	"slices"

	"github.com/runnel-io/runnel/broker/audit"
	"github.com/runnel-io/runnel/broker/auth"
	"github.com/runnel-io/runnel/broker/config"
	"github.com/runnel-io/runnel/metastore"
)

// authentication makes the mechanisms by which clients authenticate.
func authentication(c *config.Config, users auth.Users) (*auth.Mechanisms, error) {
	if name := c.Auth.BootstrapUser; name != "" {
		if err := auth.CheckName(name); err != nil {
			return nil, fmt.Errorf("auth.bootstrap_user: %w", err)
		}
	}
	o := auth.Options{}
	for _, name := range c.SASL.Mechanisms {
		o.Enabled = append(o.Enabled, auth.Mechanism(name))
	}
	if b := &c.SASL.OAuthBearer; b.ExpectedIssuer != "" {
		o.OAuth = &auth.OAuthOptions{
			Issuer: b.ExpectedIssuer, Audience: b.ExpectedAudience, JWKSURL: b.JWKSEndpointURL, ClockSkew: orNone(b.ClockSkew), SubClaim: b.SubClaimName,
		}
	}
	m, err := auth.New(users, o)
	if err != nil {
		return nil, fmt.Errorf("authentication: %w", err)
	}
	return m, nil
}

// prepareLogins makes what logins need and the log does not have yet.
func (n *Node) prepareLogins(ctx context.Context) error {
	if !slices.ContainsFunc(n.opts.Config.Listeners, func(l config.Listener) bool { return l.HasSASL() }) {
		return n.bootstrapUser(ctx)
	}
	if len(n.replica.Configs(auth.UnknownUsers())) == 0 {
		ctx, cancel := context.WithTimeout(ctx, joinTimeout)
		defer cancel()
		if err := n.replica.CreateConfigs(ctx, auth.UnknownUsers(), auth.NewUnknownUsers()); err != nil {
			return fmt.Errorf("make the key for users that do not exist: %w", err)
		}
	}
	return n.bootstrapUser(ctx)
}

// bootstrapUser gives the first user credentials, if the user has none: whoever starts first makes them, and whatever has
// become of them since stays.
func (n *Node) bootstrapUser(ctx context.Context) error {
	c := &n.opts.Config.Auth
	of := metastore.ConfigResource{Kind: metastore.Credentials, Name: c.BootstrapUser}
	if c.BootstrapUser == "" || len(n.replica.Configs(of)) > 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()
	set := make(map[string]string)
	for _, m := range []auth.Mechanism{auth.ScramSHA256, auth.ScramSHA512} {
		credential, err := auth.NewCredential(m, c.BootstrapPassword, auth.DefaultIterations)
		if err != nil {
			return fmt.Errorf("make credentials of the first user: %w", err)
		}
		set[string(m)] = credential.Encode()
	}
	if err := n.replica.CreateConfigs(ctx, of, set); err != nil {
		return fmt.Errorf("make credentials of the first user: %w", err)
	}
	if n.replica.Configs(of)[string(auth.ScramSHA256)] == set[string(auth.ScramSHA256)] {
		n.log.Info("made credentials of the first user", "user", c.BootstrapUser)
		n.audit.Record(audit.Event{
			Kind: audit.Change, Action: "auth.bootstrap_user", Resource: "User:" + c.BootstrapUser, Detail: "made by the broker as it was configured",
		})
	}
	return nil
}
