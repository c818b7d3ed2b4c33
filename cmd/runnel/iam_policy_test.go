package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const (
	policyKey      = "arn:aws:kms:eu-central-1:123456789012:key/11111111-2222-3333-4444-555555555555"
	policyDatabase = "arn:aws:rds-db:eu-central-1:123456789012:dbuser:db-ABCDEFGHIJKLMNOPQRSTUVWXYZ/runnel"
)

// inChina makes an ARN one of the partition aws-cn.
func inChina(arn string) string {
	return strings.Replace(strings.Replace(arn, ":aws:", ":aws-cn:", 1), "eu-central-1", "cn-north-1", 1)
}

// TestIAMPolicy compares with files that Terraform's module `plan` is compared with, too.
func TestIAMPolicy(t *testing.T) {
	base := []string{"generate", "iam-policy", "--bucket", "my-bucket"}
	tests := []struct {
		file string
		args []string
	}{
		{"iam-policy.json", []string{"--prefix", "runnel"}},
		{"iam-policy-kms-database.json", []string{"--prefix", "runnel", "--kms-key", policyKey, "--database-resource", policyDatabase}},
		{"iam-policy-partition.json", []string{"--prefix", "runnel", "--kms-key", inChina(policyKey), "--database-resource", inChina(policyDatabase), "--partition", "aws-cn"}},
		{"iam-policy-no-prefix.json", nil},
		{"iam-policy-fsck.json", []string{"--prefix", "runnel", "--kms-key", policyKey, "--for", "fsck"}},
		{"iam-policy-rebuild.json", []string{"--prefix", "/runnel/", "--for", "rebuild"}},
	}
	for _, tt := range tests {
		t.Run(tt.file, func(t *testing.T) {
			out, errOut, code := run(t, nil, append(base[:len(base):len(base)], tt.args...)...)
			if code != 0 {
				t.Fatalf("exit %d: %s", code, errOut)
			}
			golden, err := os.ReadFile(filepath.Join("testdata", tt.file))
			if err != nil {
				t.Fatal(err)
			}
			if out != string(golden) {
				t.Errorf("%s has\n%s\nnot\n%s", tt.file, golden, out)
			}
			if !json.Valid([]byte(out)) {
				t.Error("not JSON")
			}
		})
	}
}

// TestIAMPolicyInTheDocuments: docs/bucket.md shows what the command writes.
func TestIAMPolicyInTheDocuments(t *testing.T) {
	text, err := os.ReadFile("../../docs/bucket.md")
	if err != nil {
		t.Fatal(err)
	}
	out, _, _ := run(t, nil, "generate", "iam-policy", "--bucket", "my-bucket", "--prefix", "runnel")
	_, after, _ := strings.Cut(string(text), "\n```json\n")
	if shown, _, _ := strings.Cut(after, "```\n"); shown != out {
		t.Errorf("docs/bucket.md shows\n%s\nthe command writes\n%s", shown, out)
	}
}

func TestMistakesInPolicies(t *testing.T) {
	tests := []struct{ name, args, want string }{
		{"no bucket", "", "--bucket is missing"},
		{"URL for a bucket", "--bucket s3://b/p", "is not the name of a bucket"},
		{"wildcard in the bucket", "--bucket my-*", "is not the name of a bucket"},
		{"wildcard in the prefix", "--bucket my-bucket --prefix a*", "must be letters, digits"},
		{"variable in the prefix", "--bucket my-bucket --prefix ${aws:userid}", "must be letters, digits"},
		{"key without ARN", "--bucket my-bucket --kms-key alias/runnel", "--kms-key \"alias/runnel\" is no ARN"},
		{"any key", "--bucket my-bucket --kms-key *", "is no ARN"},
		{"database of another service", "--bucket my-bucket --database-resource arn:aws:rds:eu-central-1:1:db:x", "arn:PARTITION:rds-db:"},
		{"partition", "--bucket my-bucket --partition China", "is not the name of a partition"},
		{"purpose", "--bucket my-bucket --for all", "--for must be one of broker, fsck, rebuild"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, errOut, code := run(t, nil, append([]string{"generate", "iam-policy"}, strings.Fields(tt.args)...)...)
			if code != exitUsage || !strings.Contains(errOut, tt.want) {
				t.Errorf("exit %d: %s", code, errOut)
			}
		})
	}
}
