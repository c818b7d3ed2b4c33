package main

import (
	"strings"
	"testing"
)

func TestQuotasOnTheCommandLine(t *testing.T) {
	bootstrap, _ := startDev(t)
	environ := []string{"RUNNEL_BOOTSTRAP=" + bootstrap}
	for _, c := range []struct{ line, want string }{
		{"quota set --for-user alice producer_byte_rate=1048576 request_percentage=12.5", "user=alice: set 2 quotas\n"},
		{"quota set --for-user alice --client-id <default> consumer_byte_rate=1000", "user=alice, client-id=<default>: set 1 quota\n"},
		{"quota set --ip 10.0.0.1 connection_creation_rate=5", "ip=10.0.0.1: set 1 quota\n"},
		{"quota delete --for-user alice request_percentage", "user=alice: deleted 1 quota\n"},
		{"quota list", "USER   CLIENT-ID  IP        QUOTA                     VALUE\n" +
			"-      -          10.0.0.1  connection_creation_rate  5\n" +
			"alice  -          -         producer_byte_rate        1048576\n" +
			"alice  <default>  -         consumer_byte_rate        1000\n"},
		{"quota list --client-id <default>", "USER   CLIENT-ID  IP  QUOTA               VALUE\nalice  <default>  -   consumer_byte_rate  1000\n"},
		{"quota list --ip 10.0.0.1 --json", "[\n  {\n    \"ip\": \"10.0.0.1\",\n    \"quotas\": {\n      \"connection_creation_rate\": 5\n    }\n  }\n]\n"},
	} {
		out, errOut, code := run(t, environ, strings.Fields(c.line)...)
		if out != c.want || code != 0 {
			t.Errorf("%s: %q, %q, exit %d, want %q", c.line, out, errOut, code, c.want)
		}
	}
	for line, want := range map[string]string{
		"quota set producer_byte_rate=1":                            "whose quota?",
		"quota set --for-user a producer_byte_rate":                 "is not KEY=NUMBER",
		"quota set --for-user a --ip 10.0.0.1 producer_byte_rate=1": "--ip goes with neither",
		"quota set --for-user a nothing=1":                          "nothing",
		"quota set --ip somewhere connection_creation_rate=1":       "no address",
		"quota delete --for-user=":                                  "missing",
		"quota delete --for-user= producer_byte_rate":               "--for-user is empty",
	} {
		if _, errOut, code := run(t, environ, strings.Fields(line)...); code == 0 || !strings.Contains(errOut, want) {
			t.Errorf("%s: %q, exit %d, want %q", line, errOut, code, want)
		}
	}
}
