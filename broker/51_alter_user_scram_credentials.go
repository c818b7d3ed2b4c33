package broker

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/broker/acl"
	"github.com/runnel-io/runnel/broker/audit"
	"github.com/runnel-io/runnel/broker/auth"
	"github.com/runnel-io/runnel/broker/wire"
	"github.com/runnel-io/runnel/metastore"
)

// AlterUserScramCredentials (51), version 0 (KIP-554): sets and deletes credentials of SCRAM. Passwords come salted and
// derived, never as they are. A user may be named once, in deletions and upsertions together, as in Kafka's KRaft mode:
// DUPLICATE_RESOURCE, and nothing about it changes. What is right is done at once for all users, what is wrong about
// others notwithstanding. When it is answered, the broker that is asked goes by it, and the others within a push of the commit log.
//
// Names that nobody could log in with, and salts and keys of wrong lengths, are UNACCEPTABLE_CREDENTIAL; Kafka takes them.

var errCredentialTwice = refuse(kerr.DuplicateResource, "A user credential cannot be altered twice in the same request")

func (b *Broker) alterUserScramCredentials(ctx context.Context, c *wire.Conn, req *kmsg.AlterUserSCRAMCredentialsRequest) *kmsg.AlterUserSCRAMCredentialsResponse {
	resp := respond[*kmsg.AlterUserSCRAMCredentialsResponse](req)
	changes := &credentialChanges{errs: make(map[string]error), of: make(map[string]credentialChange)}
	allowed := b.mayOnCluster(c, acl.Alter)
	if allowed {
		ctx, cancel := context.WithTimeout(ctx, alterConfigsWait)
		defer cancel()
		b.refreshed(ctx)
		changes.collect(req, func(user string) map[string]string {
			return b.Configs.Configs(metastore.ConfigResource{Kind: metastore.Credentials, Name: user})
		})
		b.makeCredentialChanges(ctx, c, changes)
	}
	for _, user := range alteredUsers(req) {
		err := changes.errs[user]
		if !allowed {
			err = errCluster
		}
		result := kmsg.NewAlterUserSCRAMCredentialsResponseResult()
		result.User = user
		result.ErrorCode, result.ErrorMessage = failure(err)
		resp.Results = append(resp.Results, result)
	}
	return resp
}

// alteredUsers are those that the request names, each once.
func alteredUsers(req *kmsg.AlterUserSCRAMCredentialsRequest) []string {
	var users []string
	seen := make(map[string]bool)
	add := func(user string) {
		if !seen[user] {
			seen[user] = true
			users = append(users, user)
		}
	}
	for _, d := range req.Deletions {
		add(d.Name)
	}
	for _, u := range req.Upsertions {
		add(u.Name)
	}
	return users
}

// credentialChange is what is to become of one credential of a user.
type credentialChange struct {
	mechanism     auth.Mechanism
	before, after *auth.Credential // nil: none
}

// credentialChanges are what a request asks for, by user: a change or an error.
type credentialChanges struct {
	of   map[string]credentialChange
	errs map[string]error
}

func (cs *credentialChanges) collect(req *kmsg.AlterUserSCRAMCredentialsRequest, stored func(user string) map[string]string) {
	for _, d := range req.Deletions {
		cs.add(d.Name, func() (credentialChange, error) {
			m, err := scramOf(d.Name, d.Mechanism)
			if err != nil {
				return credentialChange{}, err
			}
			before, ok := existing(m, stored(d.Name))
			if !ok {
				return credentialChange{}, refuse(kerr.ResourceNotFound, "Attempt to delete a user credential that does not exist")
			}
			return credentialChange{mechanism: m, before: before}, nil
		})
	}
	for _, u := range req.Upsertions {
		cs.add(u.Name, func() (credentialChange, error) {
			m, err := scramOf(u.Name, u.Mechanism)
			if err != nil {
				return credentialChange{}, err
			}
			after, err := upserted(m, &u)
			before, _ := existing(m, stored(u.Name))
			return credentialChange{mechanism: m, before: before, after: after}, err
		})
	}
}

// add takes what a request says of a user. The first thing that is wrong counts.
func (cs *credentialChanges) add(user string, change func() (credentialChange, error)) {
	if cs.errs[user] != nil {
		return
	}
	if _, twice := cs.of[user]; twice {
		delete(cs.of, user)
		cs.errs[user] = errCredentialTwice
		return
	}
	made, err := change()
	if err != nil {
		cs.errs[user] = err
		return
	}
	cs.of[user] = made
}

func scramOf(user string, code int8) (auth.Mechanism, error) {
	if user == "" {
		return "", refuse(kerr.UnacceptableCredential, "Username must not be empty")
	}
	m, ok := scramCodes[code]
	if !ok {
		return "", refuse(kerr.UnsupportedSaslMechanism, "Unknown SCRAM mechanism")
	}
	return m, nil
}

// existing is the credential that a user has. One that cannot be read exists, and is shown as empty.
func existing(m auth.Mechanism, stored map[string]string) (*auth.Credential, bool) {
	text, ok := stored[string(m)]
	if !ok {
		return nil, false
	}
	c, _ := auth.ParseCredential(m, text)
	return &c, true
}

func upserted(m auth.Mechanism, u *kmsg.AlterUserSCRAMCredentialsRequestUpsertion) (*auth.Credential, error) {
	switch {
	case u.Iterations < auth.MinIterations:
		return nil, refuse(kerr.UnacceptableCredential, "Too few iterations")
	case u.Iterations > auth.MaxIterations:
		return nil, refuse(kerr.UnacceptableCredential, "Too many iterations")
	}
	if err := auth.CheckName(u.Name); err != nil {
		return nil, refuse(kerr.UnacceptableCredential, err.Error())
	}
	c, err := auth.SaltedCredential(m, u.SaltedPassword, u.Salt, int(u.Iterations))
	if err != nil {
		return nil, refuse(kerr.UnacceptableCredential, err.Error())
	}
	return &c, nil
}

// makeCredentialChanges makes all changes, or none and notes why.
func (b *Broker) makeCredentialChanges(ctx context.Context, c *wire.Conn, cs *credentialChanges) {
	var changes []metastore.ConfigChange
	for user, change := range cs.of {
		made := metastore.ConfigChange{ConfigResource: metastore.ConfigResource{Kind: metastore.Credentials, Name: user}}
		if change.after != nil {
			made.Set = map[string]string{string(change.mechanism): change.after.Encode()}
		} else {
			made.Unset = []string{string(change.mechanism)}
		}
		changes = append(changes, made)
	}
	if len(changes) == 0 {
		return
	}
	slices.SortFunc(changes, func(a, b metastore.ConfigChange) int { return strings.Compare(a.Name, b.Name) })
	if err := b.Configs.AlterConfigs(ctx, changes); err != nil {
		if !errors.Is(err, metastore.ErrTooManyConfigs) {
			b.Logger.Warn("change credentials", "error", err)
		}
		for user := range cs.of {
			cs.errs[user] = err
			b.mayHaveChanged(c, "AlterUserScramCredentials", "User:"+user, err)
		}
		return
	}
	for _, made := range changes {
		change := cs.of[made.Name]
		b.Audit.Record(audit.Event{
			Kind: audit.Change, Principal: c.Session().Principal, Host: c.ClientHost(), ClientID: c.ClientID(), Listener: c.Endpoint().Name,
			Action: "AlterUserScramCredentials", Resource: "User:" + made.Name,
			Before: shownCredential(change.mechanism, change.before), After: shownCredential(change.mechanism, change.after),
		})
	}
}

// shownCredential is what may be told of a credential.
func shownCredential(m auth.Mechanism, c *auth.Credential) map[string]string {
	if c == nil {
		return nil
	}
	return map[string]string{string(m): "iterations=" + strconv.Itoa(c.Iterations) + ", the rest hidden"}
}
