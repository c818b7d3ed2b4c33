package terraform

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/runnel-io/runnel/integration/harness"
	"github.com/runnel-io/runnel/integration/servers"
)

// override stands beside an example's files, and leads its provider to the mock, which never starts a task.
const override = `
provider "aws" {
  s3_use_path_style = true
}

module "runnel" {
  wait_for_deployment = false
}
`

const someSecret = "arn:aws:secretsmanager:" + region + ":" + account + ":secret:some-AbCdEf"

// examples are those under terraform/examples, with what each needs to be told.
var examples = []struct {
	name      string
	own       bool // there is something before it: testdata/own
	variables map[string]any
	creates   int      // resources at least
	differ    []string // what differs in each listing afterwards: services that the example uses
	policy    []string // arguments of `runnel generate iam-policy` beside --bucket
}{
	{
		name: "minimal", creates: 90, policy: []string{"--database-resource"},
		differ: []string{"ec2 DescribeVpcs", "ec2 DescribeNatGateways", "elasticloadbalancing DescribeLoadBalancers", "rds DescribeDBInstances", "ecs DescribeClusters", "s3 ListBuckets", "secretsmanager ListSecrets"},
	},
	{
		name: "production", creates: 110, policy: []string{"--database-resource", "--kms-key"},
		variables: map[string]any{
			"deletion_protection": false, "snapshot_on_destroy": false,
			"certificate_secret_arn": someSecret, "key_secret_arn": someSecret, "admin_password_secret_arn": someSecret,
		},
		differ: []string{"ec2 DescribeVpcEndpoints", "rds DescribeDBClusters", "rds DescribeDBClusterParameterGroups", "ecs DescribeClusters", "application-autoscaling DescribeScalableTargets", "monitoring DescribeAlarms", "sns ListTopics"},
	},
	{
		name: "bring-your-own", own: true, creates: 50,
		differ: []string{"ec2 DescribeLaunchTemplates", "autoscaling DescribeAutoScalingGroups", "iam ListInstanceProfiles", "monitoring ListDashboards"},
	},
}

// TestExamples applies each example, plans it again, looks at what is there, and destroys it. Each has a mock of its own,
// since what they make has the same names.
func TestExamples(t *testing.T) {
	t.Parallel()
	found, err := filepath.Glob(filepath.Join(modules, "examples", "*"))
	if err != nil || len(found) != len(examples) {
		t.Errorf("%d examples are tested, and there are %v", len(examples), found)
	}
	for _, e := range examples {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			c := open(t)
			interpreter, err := python()
			if err != nil {
				harness.Missing(t, "Python with moto", err)
			}
			mock, err := servers.OpenAWS(t.Context(), interpreter)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := mock.Close(); err != nil {
					t.Error(err)
				}
			})
			c.env = append(c.env, "AWS_ENDPOINT_URL="+mock.Endpoint())
			c.serve(t)
			api := api{mock.Endpoint()}
			dir := filepath.Join("examples", e.name)
			variables := maps.Clone(e.variables)
			if e.own {
				variables = c.applyOwn(t)
			}
			c.configure(t, dir, variables)

			before := api.list(t)
			c.run(t, dir, "apply", "-no-color", "-auto-approve")
			state := c.state(t, dir)
			if n := len(state.managed()); n < e.creates {
				t.Errorf("the example made %d resources, fewer than %d", n, e.creates)
			} else {
				t.Logf("made %d resources", n)
			}
			applied := api.list(t)
			for _, kind := range e.differ {
				if applied[kind] == before[kind] {
					t.Errorf("%s lists the same before and after the apply", kind)
				}
			}
			plan := c.checkSecondPlan(t, dir)
			checkState(t, state)
			c.checkNoSecret(t, api, dir, plan)
			checkPolicy(t, state, e.policy)

			c.run(t, dir, "destroy", "-no-color", "-auto-approve")
			for kind, answer := range api.list(t) {
				if answer != before[kind] {
					t.Errorf("%s lists after the destroy what was not there before:\n%s\nbefore:\n%s", kind, tail(answer), tail(before[kind]))
				}
			}
		})
	}
}

// configure makes an example's directory ready.
func (c *cli) configure(t *testing.T, dir string, variables map[string]any) {
	t.Helper()
	write(t, filepath.Join(c.root, dir, "test_override.tf"), override)
	b, err := json.Marshal(variables)
	if err != nil {
		t.Fatal(err)
	}
	if variables != nil {
		write(t, filepath.Join(c.root, dir, "test.auto.tfvars.json"), string(b))
	}
	c.init(t, dir)
}

// applyOwn makes what somebody has who brings his own, and returns it as the example's variables.
func (c *cli) applyOwn(t *testing.T) map[string]any {
	t.Helper()
	if err := copyTree("testdata/own", filepath.Join(c.root, "own")); err != nil {
		t.Fatal(err)
	}
	c.init(t, "own")
	c.run(t, "own", "apply", "-no-color", "-auto-approve")
	var outputs map[string]struct{ Value any }
	if err := json.Unmarshal([]byte(c.run(t, "own", "output", "-json")), &outputs); err != nil {
		t.Fatal(err)
	}
	variables := map[string]any{}
	for name, o := range outputs {
		variables[name] = o.Value
	}
	return variables
}

// quirks are what the mock forgets, or tells in another way, so that a plan right after an apply would change it.
var quirks = map[string][]string{
	"aws_ecs_service": {"availability_zone_rebalancing", "health_check_grace_period_seconds"},
	"aws_rds_cluster": {"scaling_configuration"}, // that of Aurora Serverless, version 1, which nobody asked for
	// It tells the template's own tags as those of what is launched, and a new version of it is one for the groups.
	"aws_launch_template":    {"tag_specifications"},
	"aws_autoscaling_group":  {"capacity_reservation_specification", "default_instance_warmup", "launch_template"},
	"aws_autoscaling_policy": {"enabled", "predictive_scaling_configuration"},
}

// checkSecondPlan holds a plan right after an apply to what the mock cannot help, and returns it as JSON.
func (c *cli) checkSecondPlan(t *testing.T, dir string) string {
	t.Helper()
	out, err := c.try(t, dir, "plan", "-no-color", "-detailed-exitcode", "-out=second")
	if code := exitCode(err); code != 0 && code != 2 {
		t.Fatalf("second plan: %v\n%s", err, tail(out))
	}
	var plan struct {
		ResourceChanges []struct {
			Address, Type string
			Change        struct {
				Actions       []string
				Before, After map[string]any
			}
		} `json:"resource_changes"`
		OutputChanges map[string]struct{ Actions []string } `json:"output_changes"`
	}
	text := c.run(t, dir, "show", "-json", "second")
	if err := json.Unmarshal([]byte(text), &plan); err != nil {
		t.Fatal(err)
	}
	if len(plan.ResourceChanges) == 0 {
		t.Error("the second plan is of nothing")
	}
	for _, r := range plan.ResourceChanges {
		if slices.Equal(r.Change.Actions, []string{"no-op"}) || slices.Equal(r.Change.Actions, []string{"read"}) {
			continue
		}
		var changed []string
		for name, after := range r.Change.After {
			a, _ := json.Marshal(after)
			b, _ := json.Marshal(r.Change.Before[name])
			if string(a) != string(b) {
				changed = append(changed, name)
			}
		}
		slices.Sort(changed)
		if !slices.Equal(r.Change.Actions, []string{"update"}) || !slices.Equal(changed, quirks[r.Type]) {
			t.Errorf("the second plan would %v %s: %v", r.Change.Actions, r.Address, changed)
		}
	}
	for name, o := range plan.OutputChanges {
		if !slices.Equal(o.Actions, []string{"no-op"}) {
			t.Errorf("the second plan changes the output %s", name)
		}
	}
	return text
}

// checkNoSecret looks for the peers' secret in everything that Terraform wrote.
func (c *cli) checkNoSecret(t *testing.T, a api, dir, plan string) {
	t.Helper()
	var names struct{ SecretList []struct{ Name string } }
	if err := json.Unmarshal([]byte(a.call(t, listing{service: "secretsmanager", action: "ListSecrets", prefix: "secretsmanager"})), &names); err != nil {
		t.Fatal(err)
	}
	var secret struct{ SecretString string }
	for _, s := range names.SecretList {
		if strings.HasSuffix(s.Name, "/peer-secret") {
			body, _ := json.Marshal(map[string]string{"SecretId": s.Name})
			if err := json.Unmarshal([]byte(a.call(t, listing{service: "secretsmanager", action: "GetSecretValue", prefix: "secretsmanager", body: string(body)})), &secret); err != nil {
				t.Fatal(err)
			}
		}
	}
	if len(secret.SecretString) != 48 {
		t.Fatalf("the secret of brokers has %d characters", len(secret.SecretString))
	}
	state, err := os.ReadFile(filepath.Join(c.root, dir, "terraform.tfstate"))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(state), secret.SecretString) || strings.Contains(plan, secret.SecretString) {
		t.Error("state or plan holds the secret of brokers")
	}
}
