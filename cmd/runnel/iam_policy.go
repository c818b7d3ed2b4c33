package main

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// What somebody does to the bucket. docs/bucket.md shows it, Terraform's module `plan` says the same (a test compares them),
// and an end-to-end test compares it with what brokers, fsck and rebuild ask S3 for.
type bucketUse struct {
	action  string
	folders []string // below the prefix
	by      []string // purposes
}

// Whom a policy is for.
const (
	forBroker  = "broker"
	forFsck    = "fsck"
	forRebuild = "rebuild"
)

var bucketUses = []bucketUse{
	{"s3:GetObject", []string{"t0", "t1"}, []string{forBroker, forFsck, forRebuild}},
	{"s3:GetObject", []string{"index"}, []string{forFsck, forRebuild}},
	{"s3:PutObject", []string{"t0", "t1", "position", "index"}, []string{forBroker}},
	{"s3:PutObject", []string{"t1", "position"}, []string{forRebuild}},
	{"s3:DeleteObject", []string{"t0", "t1", "position", "index"}, []string{forBroker}},
}

// policyFor says what a policy allows.
type policyFor struct {
	purpose   string
	bucket    string
	prefix    string // without slashes at its ends; "": all of the bucket
	kmsKey    string // ARN; "": none
	database  string // ARN of what rds-db:connect is for; "": none
	partition string
}

type policyDocument struct {
	Version   string
	Statement []policyStatement
}

// policyStatement has lists everywhere, also of one: the same JSON is made in places that compare it.
type policyStatement struct {
	Sid       string
	Effect    string
	Action    []string
	Resource  []string
	Condition map[string]map[string][]string `json:",omitempty"`
}

func allow(sid string, actions, resources []string) policyStatement {
	return policyStatement{Sid: sid, Effect: "Allow", Action: actions, Resource: resources}
}

// document returns the policy, of the least that works.
func (p *policyFor) document() policyDocument {
	bucket := "arn:" + p.partition + ":s3:::" + p.bucket
	below := ""
	if p.prefix != "" {
		below = p.prefix + "/"
	}
	doc := policyDocument{Version: "2012-10-17"}
	for _, action := range []string{"s3:GetObject", "s3:PutObject", "s3:DeleteObject"} {
		var resources []string
		for _, use := range bucketUses {
			if use.action != action || !slices.Contains(use.by, p.purpose) {
				continue
			}
			for _, folder := range use.folders {
				resources = append(resources, bucket+"/"+below+folder+"/*")
			}
		}
		if resources != nil {
			doc.Statement = append(doc.Statement, allow(strings.TrimPrefix(action, "s3:"), []string{action}, resources))
		}
	}
	doc.Statement = append(doc.Statement, listBucket(bucket, below))
	if p.kmsKey != "" {
		doc.Statement = append(doc.Statement, p.useKey(bucket, below))
	}
	if p.database != "" {
		doc.Statement = append(doc.Statement, allow("ConnectDatabase", []string{"rds-db:connect"}, []string{p.database}))
	}
	return doc
}

// listBucket allows LIST below a prefix. IfExists, since S3 asks for the same permission, without a prefix, when the object
// of a GET does not exist, and without it answers 403 in place of 404: brokers tell a lost object from a forbidden one. The
// price is that a LIST that names no prefix is allowed, too: names of what else lies in the bucket.
func listBucket(bucket, below string) policyStatement {
	s := allow("ListBucket", []string{"s3:ListBucket"}, []string{bucket})
	if below != "" {
		s.Condition = map[string]map[string][]string{"StringLikeIfExists": {"s3:prefix": {below + "*"}}}
	}
	return s
}

// useKey allows what S3 does with the key on behalf of who calls it, and nothing else: S3 names the bucket (with a bucket key)
// or the object as the encryption context.
func (p *policyFor) useKey(bucket, below string) policyStatement {
	actions := []string{"kms:Decrypt", "kms:GenerateDataKey"}
	if p.purpose == forFsck {
		actions = actions[:1] // it writes nothing
	}
	s := allow("UseKey", actions, []string{p.kmsKey})
	s.Condition = map[string]map[string][]string{"StringLike": {"kms:EncryptionContext:aws:s3:arn": {bucket, bucket + "/" + below + "*"}}}
	return s
}

var (
	bucketName    = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)
	plainPrefix   = regexp.MustCompile(`^[A-Za-z0-9!_.'()/-]*$`) // no wildcards and variables of policies
	partitionName = regexp.MustCompile(`^aws(-[a-z]+)*$`)
)

func (p *policyFor) check() error {
	p.prefix = strings.Trim(p.prefix, "/")
	switch {
	case !slices.Contains([]string{forBroker, forFsck, forRebuild}, p.purpose):
		return usagef("--for must be one of broker, fsck, rebuild, not %q", p.purpose)
	case p.bucket == "":
		return usagef("--bucket is missing")
	case !bucketName.MatchString(p.bucket):
		return usagef("--bucket %q is not the name of a bucket", p.bucket)
	case !plainPrefix.MatchString(p.prefix):
		return usagef("--prefix %q must be letters, digits and ! _ . ' ( ) / -", p.prefix)
	case !partitionName.MatchString(p.partition):
		return usagef("--partition %q is not the name of a partition, such as aws, aws-cn, aws-us-gov", p.partition)
	}
	for flag, arn := range map[string]string{"--kms-key": p.kmsKey, "--database-resource": p.database} {
		if service := map[string]string{"--kms-key": "kms", "--database-resource": "rds-db"}[flag]; arn != "" && !isARN(arn, service) {
			return usagef("%s %q is no ARN that begins with arn:PARTITION:%s:", flag, arn, service)
		}
	}
	return nil
}

// isARN tells whether a text has the parts of an ARN of a service.
func isARN(text, service string) bool {
	parts := strings.SplitN(text, ":", 6)
	return len(parts) == 6 && parts[0] == "arn" && partitionName.MatchString(parts[1]) && parts[2] == service && parts[5] != ""
}

func newGenerate(env *environment) *cobra.Command {
	return parent("generate", "Write what others need to know to run brokers", newIAMPolicy(env))
}

func newIAMPolicy(env *environment) *cobra.Command {
	var p policyFor
	cmd := &cobra.Command{
		Use:   "iam-policy",
		Short: "Write the policy of AWS with the permissions that a broker needs, and no others",
		Long: "Write the policy of AWS with the permissions that a broker needs, and no others. It contacts nothing. docs/bucket.md\n" +
			"says what each permission is for.",
		Example: "  runnel generate iam-policy --bucket my-bucket --prefix runnel\n" +
			"  runnel generate iam-policy --bucket my-bucket --database-resource \\\n" +
			"    arn:aws:rds-db:eu-central-1:123456789012:dbuser:db-ABCDEFGHIJKL/runnel",
		Args: args(cobra.NoArgs),
	}
	flags := cmd.Flags()
	flags.StringVar(&p.bucket, "bucket", "", "`name` of the bucket of object_store.url")
	flags.StringVar(&p.prefix, "prefix", "", "`prefix` of object_store.url; default: all of the bucket is Runnel's")
	flags.StringVar(&p.kmsKey, "kms-key", "", "`ARN` of the KMS key that encrypts the bucket; default: none")
	flags.StringVar(&p.database, "database-resource", "", "`ARN` of the database's user, for metastore.auth: aws_iam; default: none")
	flags.StringVar(&p.partition, "partition", "aws", "partition of AWS, such as aws-cn and aws-us-gov")
	flags.StringVar(&p.purpose, "for", forBroker, "whom the policy is for: broker, fsck or rebuild")
	completeWords(cmd, "for", forBroker, forFsck, forRebuild)
	completeWords(cmd, "partition", "aws", "aws-cn", "aws-us-gov")
	cmd.RunE = func(*cobra.Command, []string) error {
		if err := p.check(); err != nil {
			return err
		}
		out := json.NewEncoder(env.out)
		out.SetIndent("", "  ")
		out.SetEscapeHTML(false)
		return out.Encode(p.document())
	}
	return cmd
}
