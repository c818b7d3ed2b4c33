package terraform

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/runnel-io/runnel/integration/harness"
)

// api asks the mock as AWS's own clients would, signature aside, which it does not look at.
type api struct{ endpoint string }

// listing is a request that lists what there is of a kind.
type listing struct {
	service string
	action  string     // of the query protocol with a version, else of the JSON protocol with its target's prefix
	version string     // of the query protocol
	prefix  string     // of the JSON protocol
	query   url.Values // further parameters of the query protocol
	body    string     // of the JSON protocol; {} if empty
	alive   string     // what each thing says that is there: the API also tells of those that were deleted
}

// listings are the kinds of things that the modules make.
var listings = []listing{
	{service: "ec2", action: "DescribeVpcs", version: "2016-11-15"},
	{service: "ec2", action: "DescribeSubnets", version: "2016-11-15"},
	{service: "ec2", action: "DescribeSecurityGroups", version: "2016-11-15"},
	{service: "ec2", action: "DescribeRouteTables", version: "2016-11-15"},
	{service: "ec2", action: "DescribeInternetGateways", version: "2016-11-15"},
	{service: "ec2", action: "DescribeAddresses", version: "2016-11-15"},
	{service: "ec2", action: "DescribeNatGateways", version: "2016-11-15", query: url.Values{"Filter.1.Name": {"state"}, "Filter.1.Value.1": {"available"}}},
	{service: "ec2", action: "DescribeVpcEndpoints", version: "2016-11-15", alive: "<state>available</state>"},
	{service: "ec2", action: "DescribeLaunchTemplates", version: "2016-11-15"},
	{service: "ec2", action: "DescribeInstances", version: "2016-11-15", query: url.Values{"Filter.1.Name": {"instance-state-name"}, "Filter.1.Value.1": {"running"}}},
	{service: "elasticloadbalancing", action: "DescribeLoadBalancers", version: "2015-12-01"},
	{service: "elasticloadbalancing", action: "DescribeTargetGroups", version: "2015-12-01"},
	{service: "autoscaling", action: "DescribeAutoScalingGroups", version: "2011-01-01"},
	{service: "rds", action: "DescribeDBInstances", version: "2014-10-31"},
	{service: "rds", action: "DescribeDBClusters", version: "2014-10-31"},
	{service: "rds", action: "DescribeDBSubnetGroups", version: "2014-10-31"},
	// AWS makes some of its own, which are called default...
	{service: "rds", action: "DescribeDBParameterGroups", version: "2014-10-31", alive: "-metastore"},
	{service: "rds", action: "DescribeDBClusterParameterGroups", version: "2014-10-31", alive: "-metastore"},
	// Automated ones go with their instance, but not in the mock.
	{service: "rds", action: "DescribeDBSnapshots", version: "2014-10-31", alive: "<SnapshotType>manual</SnapshotType>"},
	{service: "iam", action: "ListRoles", version: "2010-05-08"},
	{service: "iam", action: "ListInstanceProfiles", version: "2010-05-08"},
	{service: "monitoring", action: "DescribeAlarms", version: "2010-08-01"},
	{service: "monitoring", action: "ListDashboards", version: "2010-08-01"},
	{service: "sns", action: "ListTopics", version: "2010-03-31"},
	{service: "ecs", action: "DescribeClusters", prefix: "AmazonEC2ContainerServiceV20141113", body: `{"clusters": ["runnel", "events"]}`, alive: `"status": "ACTIVE"`},
	{service: "ecs", action: "ListTaskDefinitions", prefix: "AmazonEC2ContainerServiceV20141113", body: `{"status": "ACTIVE"}`},
	{service: "logs", action: "DescribeLogGroups", prefix: "Logs_20140328"},
	{service: "logs", action: "DescribeMetricFilters", prefix: "Logs_20140328"},
	{service: "secretsmanager", action: "ListSecrets", prefix: "secretsmanager"},
	{service: "application-autoscaling", action: "DescribeScalableTargets", prefix: "AnyScaleFrontendService", body: `{"ServiceNamespace": "ecs"}`},
	{service: "s3", action: "ListBuckets"},
}

// volatile is what answers have anew each time: ids of requests, and how many addresses of a subnet are free, which the mock
// does not count back up.
var volatile = regexp.MustCompile(`(?i)<availableIpAddressCount>[^<]*</availableIpAddressCount>|<requestid>[^<]*</requestid>|<ResponseMetadata>.*?</ResponseMetadata>`)

// list returns what each listing answers, by service and action.
func (a api) list(t *testing.T) map[string]string {
	t.Helper()
	answers := map[string]string{}
	for _, l := range listings {
		answer := volatile.ReplaceAllString(a.call(t, l), "")
		if l.alive != "" {
			answer = fmt.Sprintf("%d are there", strings.Count(answer, l.alive))
		}
		answers[l.service+" "+l.action] = answer
	}
	return answers
}

func (a api) call(t *testing.T, l listing) string {
	t.Helper()
	body, err := a.do(harness.Soon(t), l)
	if err != nil {
		t.Fatalf("%s %s: %v", l.service, l.action, err)
	}
	return body
}

func (a api) do(ctx context.Context, l listing) (string, error) {
	method, contentType, body := http.MethodPost, "application/x-amz-json-1.1", l.body
	switch {
	case l.version != "":
		form := url.Values{"Action": {l.action}, "Version": {l.version}}
		for k, v := range l.query {
			form[k] = v
		}
		contentType, body = "application/x-www-form-urlencoded", form.Encode()
	case l.prefix == "":
		method, body = http.MethodGet, ""
	case body == "":
		body = "{}"
	}
	req, err := http.NewRequestWithContext(ctx, method, a.endpoint+"/", strings.NewReader(body))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", contentType)
	req.Header.Set("Authorization", fmt.Sprintf("AWS4-HMAC-SHA256 Credential=test/20260101/%s/%s/aws4_request, SignedHeaders=host, Signature=0", region, l.service))
	if l.prefix != "" {
		req.Header.Set("X-Amz-Target", l.prefix+"."+l.action)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 8<<20))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %s: %s", resp.Status, tail(string(answer)))
	}
	return string(answer), err
}
