package broker

import (
	"context"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/broker/acl"
	"github.com/runnel-io/runnel/broker/auth"
	"github.com/runnel-io/runnel/broker/wire"
	"github.com/runnel-io/runnel/metastore"
)

// DescribeUserScramCredentials (50), version 0 (KIP-554): which users have credentials of SCRAM, by mechanism, and with how
// many iterations; salts and keys are never told. No list of users, or an empty one, asks for all. A user that is named twice is
// DUPLICATE_RESOURCE, one without credentials RESOURCE_NOT_FOUND.

// scramCodes are the mechanisms by their codes in requests (org.apache.kafka.clients.admin.ScramMechanism).
var scramCodes = map[int8]auth.Mechanism{1: auth.ScramSHA256, 2: auth.ScramSHA512}

func (b *Broker) describeUserScramCredentials(ctx context.Context, c *wire.Conn, req *kmsg.DescribeUserSCRAMCredentialsRequest) *kmsg.DescribeUserSCRAMCredentialsResponse {
	resp := respond[*kmsg.DescribeUserSCRAMCredentialsResponse](req)
	if !b.mayOnCluster(c, acl.Describe) {
		resp.ErrorCode, resp.ErrorMessage = failure(errCluster)
		return resp
	}
	b.refreshed(ctx) // those that another broker has just made or changed
	users, times := describedUsers(req), make(map[string]int)
	for _, u := range req.Users {
		times[u.Name]++
	}
	if len(users) == 0 {
		users = slices.DeleteFunc(b.Configs.ConfigResources(metastore.Credentials), func(name string) bool { return name == auth.UnknownUsers().Name })
	}
	for _, user := range users {
		result := kmsg.NewDescribeUserSCRAMCredentialsResponseResult()
		result.User = user
		if times[user] > 1 {
			result.ErrorCode, result.ErrorMessage = failure(refuse(kerr.DuplicateResource,
				"Cannot describe SCRAM credentials for the same user twice in a single request: "+user))
		} else if result.CredentialInfos = b.scramCredentials(user); len(result.CredentialInfos) == 0 {
			result.ErrorCode, result.ErrorMessage = failure(refuse(kerr.ResourceNotFound, "Attempt to describe a user credential that does not exist: "+user))
		}
		resp.Results = append(resp.Results, result)
	}
	return resp
}

// describedUsers are those that the request names, each once.
func describedUsers(req *kmsg.DescribeUserSCRAMCredentialsRequest) []string {
	seen := make(map[string]bool, len(req.Users))
	var users []string
	for _, u := range req.Users {
		if !seen[u.Name] {
			seen[u.Name] = true
			users = append(users, u.Name)
		}
	}
	return users
}

// scramCredentials are a user's, by the code of their mechanism.
func (b *Broker) scramCredentials(user string) []kmsg.DescribeUserSCRAMCredentialsResponseResultCredentialInfo {
	var infos []kmsg.DescribeUserSCRAMCredentialsResponseResultCredentialInfo
	credentials := b.Configs.Configs(metastore.ConfigResource{Kind: metastore.Credentials, Name: user})
	for code, mechanism := range scramCodes {
		text, ok := credentials[string(mechanism)]
		if !ok {
			continue
		}
		info := kmsg.NewDescribeUserSCRAMCredentialsResponseResultCredentialInfo()
		info.Mechanism = code
		credential, err := auth.ParseCredential(mechanism, text)
		if err != nil {
			b.Logger.Error("a credential in the commit log cannot be read: nobody can log in with it", "user", user, "mechanism", mechanism, "error", err)
		}
		info.Iterations = int32(credential.Iterations)
		infos = append(infos, info)
	}
	slices.SortFunc(infos, func(a, b kmsg.DescribeUserSCRAMCredentialsResponseResultCredentialInfo) int {
		return int(a.Mechanism) - int(b.Mechanism)
	})
	return infos
}
