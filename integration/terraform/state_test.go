package terraform

import (
	"encoding/base64"
	"encoding/json"
	"os/exec"
	"reflect"
	"strings"
	"testing"

	"github.com/runnel-io/runnel/integration/harness"
)

// state is what Terraform made, as `terraform show -json` has it.
type state struct {
	Values struct {
		RootModule module `json:"root_module"`
	}
}

type module struct {
	Resources    []resource
	ChildModules []module `json:"child_modules"`
}

type resource struct {
	Address, Mode, Type string
	Values              map[string]any
}

func (c *cli) state(t *testing.T, dir string) state {
	t.Helper()
	var s state
	if err := json.Unmarshal([]byte(c.run(t, dir, "show", "-json")), &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// managed returns all that was made, of all modules.
func (s state) managed() []resource { return s.Values.RootModule.managed(nil) }

func (m module) managed(all []resource) []resource {
	for _, r := range m.Resources {
		if r.Mode == "managed" {
			all = append(all, r)
		}
	}
	for _, child := range m.ChildModules {
		all = child.managed(all)
	}
	return all
}

// policy is a document of IAM as the modules write them: with lists everywhere.
type policy struct {
	Statement []struct {
		Sid, Effect string
		Action      []string
		Resource    []string
	}
}

// forEverything are the actions that AWS gives for everything or not at all.
var forEverything = map[string]bool{
	"ecr:GetAuthorizationToken":     true,
	"ssm:UpdateInstanceInformation": true, "ssmmessages:CreateControlChannel": true, "ssmmessages:CreateDataChannel": true,
	"ssmmessages:OpenControlChannel": true, "ssmmessages:OpenDataChannel": true,
}

// checkState looks for what must not be there, whoever writes the next module.
func checkState(t *testing.T, s state) {
	t.Helper()
	var policies, rules, lifecycles int
	for _, r := range s.managed() {
		switch r.Type {
		case "aws_iam_role_policy", "aws_iam_policy":
			policies++
			checkLeast(t, r)
		case "aws_vpc_security_group_ingress_rule":
			rules++
			for _, key := range []string{"cidr_ipv4", "cidr_ipv6"} {
				if cidr, _ := r.Values[key].(string); strings.HasSuffix(cidr, "/0") {
					t.Errorf("%s lets in everybody: %s", r.Address, cidr)
				}
			}
		case "aws_security_group":
			for _, key := range []string{"ingress", "egress"} {
				checkClosed(t, r, key)
			}
		case "aws_s3_bucket_lifecycle_configuration":
			lifecycles++
			checkKeepsRecords(t, r)
		case "aws_launch_template":
			checkScripts(t, r)
		}
	}
	if policies == 0 || rules == 0 {
		t.Errorf("looked at %d policies, %d rules of security groups and %d of buckets", policies, rules, lifecycles)
	}
}

// checkLeast: no action by a wildcard, nothing for everything.
func checkLeast(t *testing.T, r resource) {
	t.Helper()
	var p policy
	text, _ := r.Values["policy"].(string)
	if err := json.Unmarshal([]byte(text), &p); err != nil || len(p.Statement) == 0 {
		t.Errorf("%s: %v in %s", r.Address, err, text)
	}
	for _, s := range p.Statement {
		for _, action := range s.Action {
			if strings.Contains(action, "*") {
				t.Errorf("%s allows %s", r.Address, action)
			}
		}
		for _, on := range s.Resource {
			for _, action := range s.Action {
				if on == "*" && !forEverything[action] {
					t.Errorf("%s allows %s on everything", r.Address, action)
				}
			}
		}
	}
}

// checkClosed looks at rules within a group, of which the modules have none.
func checkClosed(t *testing.T, r resource, key string) {
	t.Helper()
	rules, _ := r.Values[key].([]any)
	for _, rule := range rules {
		if text, _ := json.Marshal(rule); key == "ingress" && strings.Contains(string(text), "/0") {
			t.Errorf("%s lets in everybody: %s", r.Address, text)
		}
	}
}

// checkKeepsRecords: a bucket's rules may end uploads that nobody ended, and versions that were deleted; nothing else.
func checkKeepsRecords(t *testing.T, r resource) {
	t.Helper()
	rules, _ := r.Values["rule"].([]any)
	if len(rules) == 0 {
		t.Errorf("%s has no rules", r.Address)
	}
	for _, rule := range rules {
		values, _ := rule.(map[string]any)
		for _, expiration := range list(values["expiration"]) {
			e, _ := expiration.(map[string]any)
			if days, _ := e["days"].(float64); days != 0 || e["date"] != nil && e["date"] != "" {
				t.Errorf("%s expires records: %v", r.Address, expiration)
			}
		}
		if transitions := list(values["transition"]); len(transitions) > 0 {
			t.Errorf("%s moves records: %v", r.Address, transitions)
		}
	}
}

// checkScripts has bash read what an instance runs, and the scripts that it writes. None may hold a secret's value, of which
// there is only the ARN.
func checkScripts(t *testing.T, r resource) {
	t.Helper()
	text, _ := r.Values["user_data"].(string)
	script, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(script) == 0 || len(script) > 16<<10 {
		t.Fatalf("%s: user data of %d bytes: %v", r.Address, len(script), err)
	}
	scripts := []string{string(script)}
	for _, part := range strings.Split(string(script), "<<'END'\n")[1:] {
		if written, _, ok := strings.Cut(part, "\nEND\n"); ok && strings.HasPrefix(written, "#!/bin/bash") {
			scripts = append(scripts, written)
		}
	}
	if len(scripts) != 4 {
		t.Errorf("%s: user data writes %d scripts", r.Address, len(scripts)-1)
	}
	for _, s := range scripts {
		cmd := exec.CommandContext(harness.Soon(t), "bash", "-n")
		cmd.Stdin = strings.NewReader(s)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s in\n%s", r.Address, err, out, s)
		}
	}
}

func list(v any) []any {
	l, _ := v.([]any)
	return l
}

// checkPolicy compares what brokers may do with what the binary says that they need.
func checkPolicy(t *testing.T, s state, flags []string) {
	t.Helper()
	var policyJSON, bucket, key, database string
	for _, r := range s.managed() {
		text, _ := r.Values["policy"].(string)
		if r.Type == "aws_iam_role_policy" && strings.HasSuffix(r.Address, ".aws_iam_role_policy.broker") {
			policyJSON = text
		}
	}
	var p policy
	if err := json.Unmarshal([]byte(policyJSON), &p); err != nil {
		t.Fatalf("brokers' policy: %v in %q", err, policyJSON)
	}
	for _, statement := range p.Statement {
		switch statement.Sid {
		case "ListBucket":
			bucket = strings.TrimPrefix(statement.Resource[0], "arn:aws:s3:::")
		case "UseKey":
			key = statement.Resource[0]
		case "ConnectDatabase":
			database = statement.Resource[0]
		}
	}
	args := []string{"generate", "iam-policy", "--bucket", bucket, "--prefix", "runnel"}
	for _, flag := range flags {
		args = append(args, flag, map[string]string{"--kms-key": key, "--database-resource": database}[flag])
	}
	out, err := exec.CommandContext(harness.Soon(t), harness.Binary(t), args...).Output()
	if err != nil {
		t.Fatalf("runnel %s: %v", strings.Join(args, " "), err)
	}
	var ours, theirs any
	if err := json.Unmarshal([]byte(policyJSON), &ours); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(out, &theirs); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(ours, theirs) {
		t.Errorf("brokers may do\n%s\nand the binary needs\n%s", policyJSON, out)
	}
}
