package broker

import (
	"fmt"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/broker/acl"
	"github.com/runnel-io/runnel/broker/audit"
	"github.com/runnel-io/runnel/metastore"
)

// scramOps are changes as "+user/mechanism/iterations" and "-user/mechanism".
func scramOps(ops ...string) *kmsg.AlterUserSCRAMCredentialsRequest {
	req := kmsg.NewPtrAlterUserSCRAMCredentialsRequest()
	for _, op := range ops {
		parts := strings.Split(op[1:], "/")
		var mechanism int8
		fmt.Sscan(parts[1], &mechanism)
		if op[0] == '-' {
			req.Deletions = append(req.Deletions, kmsg.AlterUserSCRAMCredentialsRequestDeletion{Name: parts[0], Mechanism: mechanism})
			continue
		}
		u := kmsg.AlterUserSCRAMCredentialsRequestUpsertion{
			Name: parts[0], Mechanism: mechanism, Salt: []byte("salt"), SaltedPassword: []byte(strings.Repeat("k", 32*int(mechanism))),
		}
		fmt.Sscan(parts[2], &u.Iterations)
		req.Upsertions = append(req.Upsertions, u)
	}
	return req
}

func (h *harness) alterScram(ops ...string) string {
	h.t.Helper()
	resp := ask[*kmsg.AlterUserSCRAMCredentialsResponse](h, 0, scramOps(ops...))
	var all []string
	for _, r := range resp.Results {
		text := r.User
		if err := kerr.ErrorForCode(r.ErrorCode); err != nil {
			text += " " + err.(*kerr.Error).Message
		}
		if (r.ErrorMessage != nil) != (r.ErrorCode != 0) {
			h.t.Errorf("%s: code %d with the text %v", r.User, r.ErrorCode, r.ErrorMessage)
		}
		all = append(all, text)
	}
	return strings.Join(all, ", ")
}

func (h *harness) describeScram(users ...string) string {
	h.t.Helper()
	req := kmsg.NewPtrDescribeUserSCRAMCredentialsRequest()
	for _, u := range users {
		req.Users = append(req.Users, kmsg.DescribeUserSCRAMCredentialsRequestUser{Name: u})
	}
	resp := ask[*kmsg.DescribeUserSCRAMCredentialsResponse](h, 0, req)
	if err := kerr.ErrorForCode(resp.ErrorCode); err != nil {
		return err.(*kerr.Error).Message
	}
	var all []string
	for _, r := range resp.Results {
		text := r.User
		if err := kerr.ErrorForCode(r.ErrorCode); err != nil {
			text += " " + err.(*kerr.Error).Message
		}
		for _, c := range r.CredentialInfos {
			text += fmt.Sprintf(" %d/%d", c.Mechanism, c.Iterations)
		}
		all = append(all, text)
	}
	return strings.Join(all, ", ")
}

func TestScramCredentials(t *testing.T) {
	h := newHarness(t, nil, 0)
	events := new(recorder)
	h.broker.Audit = events
	equal(t, "nobody", h.describeScram(), "")
	for _, step := range []struct{ ops, want string }{
		{"+a/1/4096", "a"},
		{"+a/2/8192 +b/2/16384", "a, b"},
		{"+c/1/4095 +d/1/16385", "c UNACCEPTABLE_CREDENTIAL, d UNACCEPTABLE_CREDENTIAL"},
		{"+/1/4096", " UNACCEPTABLE_CREDENTIAL"},
		{"-/1", " UNACCEPTABLE_CREDENTIAL"},
		{"+a/0/4096", "a UNSUPPORTED_SASL_MECHANISM"},
		{"-a/3", "a UNSUPPORTED_SASL_MECHANISM"},
		{"-c/1", "c RESOURCE_NOT_FOUND"},
		{"-b/1", "b RESOURCE_NOT_FOUND"},
		{"-a/1 +a/2/4096", "a DUPLICATE_RESOURCE"},
		{"-a/1 -a/2", "a DUPLICATE_RESOURCE"},
		{"+a/1/4096 +a/2/4096 +a/1/5000", "a DUPLICATE_RESOURCE"},
		{"-c/1 +c/1/4096", "c RESOURCE_NOT_FOUND"}, // what is wrong first counts
		{"+a\x00/1/4096", "a\x00 UNACCEPTABLE_CREDENTIAL"},
		{"+e/1/4096 -x/1 +f/9/4096", "x RESOURCE_NOT_FOUND, e, f UNSUPPORTED_SASL_MECHANISM"},
		{"-e/1", "e"},
		{"", ""},
	} {
		if got := h.alterScram(strings.Fields(step.ops)...); got != step.want {
			t.Errorf("%q: %q, want %q", step.ops, got, step.want)
		}
	}
	equal(t, "all", h.describeScram(), "a 1/4096 2/8192, b 2/16384")
	equal(t, "some", h.describeScram("b", "x", "a", "a"), "b 2/16384, x RESOURCE_NOT_FOUND, a DUPLICATE_RESOURCE")

	short := scramOps("+s/1/4096")
	short.Upsertions[0].SaltedPassword = []byte("short")
	equal(t, "a key of a wrong length", ask[*kmsg.AlterUserSCRAMCredentialsResponse](h, 0, short).Results[0].ErrorCode, kerr.UnacceptableCredential.Code)

	made := events.taken()
	if len(made) != 5 {
		t.Fatalf("%d events", len(made))
	}
	stored := h.replica.Configs(metastore.ConfigResource{Kind: metastore.Credentials, Name: "b"})["SCRAM-SHA-512"]
	secret := strings.Split(stored, ",")[2]
	for _, e := range made {
		if e.Kind != audit.Change || e.Resource == "" || strings.Contains(fmt.Sprint(e), strings.TrimPrefix(secret, "stored_key=")) {
			t.Errorf("%+v", e)
		}
	}
	if last := made[4]; last.After != nil || !strings.HasPrefix(last.Before["SCRAM-SHA-256"], "iterations=4096") {
		t.Errorf("%+v", last)
	}
}

// forbidden is Access that allows nothing.
type forbidden struct{ unlocked }

func (forbidden) Enabled() bool { return true }

func (forbidden) Allowed(acl.Client, acl.Operation, acl.Resource) bool { return false }

func TestScramCredentialsNeedRights(t *testing.T) {
	h := newHarness(t, nil, 0)
	h.broker.Access = forbidden{}
	equal(t, "alter", h.alterScram("+a/1/4096", "-a/1", "-b/1"), "a CLUSTER_AUTHORIZATION_FAILED, b CLUSTER_AUTHORIZATION_FAILED")
	equal(t, "describe", h.describeScram(), "CLUSTER_AUTHORIZATION_FAILED")
	h.broker.Access = unlocked{}
	equal(t, "nothing was changed", h.describeScram(), "")
}
