package main

import (
	"net"
	"strings"
	"testing"
)

func TestDevConfigs(t *testing.T) {
	o := devOptions{listen: "127.0.0.1:9092", admin: "127.0.0.1:9644", brokers: 3, data: "relative", logLevel: "warn", set: []string{"num.partitions=6"}}
	configs, err := o.configs()
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"127.0.0.1:9092", "127.0.0.1:9093", "127.0.0.1:9094"} {
		c := configs[i]
		if c.Listen != want || c.NodeID != int32(i) || c.Cluster.NumPartitions != 6 {
			t.Errorf("broker %d: %+v", i, c)
		}
		if !strings.HasPrefix(c.Metastore.URL, "file:///") || !strings.HasSuffix(c.ObjectStore.URL, "/relative/objects") {
			t.Errorf("broker %d keeps its data at %s and %s", i, c.Metastore.URL, c.ObjectStore.URL)
		}
	}
	if configs[2].Admin.Listen != "127.0.0.1:9646" {
		t.Errorf("admin %s", configs[2].Admin.Listen)
	}
}

func TestDevRefusesMistakes(t *testing.T) {
	tests := []struct{ name, line, want string }{
		{"setting", "dev --set num.partition=3", `did you mean "num.partitions"?`},
		{"no brokers", "dev --brokers 0", "--brokers must be between"},
		{"no port", "dev --listen localhost", "must be host:port"},
		{"ports run out", "dev --listen 127.0.0.1:65535 --brokers 2", "also for the last broker"},
		{"argument", "dev here", `unexpected argument "here"`},
		{"level", "dev --log-level loud", "must be one of debug, info, warn, error"},
		{"broker without stores", "broker", "metastore.url is required"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, errOut, code := run(t, nil, strings.Fields(tt.line)...)
			if code != exitUsage || !strings.Contains(errOut, tt.want) {
				t.Errorf("exit %d: %s", code, errOut)
			}
		})
	}
}

func TestTakenPortIsTold(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	_, errOut, code := run(t, nil, "dev", "--listen", ln.Addr().String(), "--admin", "")
	if code != exitError || !strings.Contains(errOut, "Choose another address with --listen") {
		t.Errorf("exit %d: %s", code, errOut)
	}
}

func TestWelcomeNamesTheAddress(t *testing.T) {
	text := welcome("bin/runnel", []string{"127.0.0.1:19092", "127.0.0.1:19093"}, "none", "in memory")
	for _, want := range []string{"127.0.0.1:19092, 127.0.0.1:19093", "bin/runnel produce greetings -b 127.0.0.1:19092\n", "kcat -b 127.0.0.1:19092 ",
		"--bootstrap-server 127.0.0.1:19092 "} {
		if !strings.Contains(text, want) {
			t.Errorf("missing %q in\n%s", want, text)
		}
	}
	if text := welcome("runnel", []string{defaultBootstrap}, "none", ""); strings.Contains(text, "-b "+defaultBootstrap+"\n\n  echo hello | kcat") {
		t.Errorf("names what runnel knows by itself:\n%s", text)
	}
	if text := welcome("", []string{"localhost:19092"}, "none", ""); strings.Contains(text, "produce greetings") || !strings.Contains(text, "Try it:\n\n  echo hello | kcat -b localhost:19092 ") {
		t.Errorf("names a program that is not to be had:\n%s", text)
	}
}

// TestWelcomeNamesWhatClientsAreTold: from outside of a container its own address is no use.
func TestWelcomeNamesWhatClientsAreTold(t *testing.T) {
	given := "localhost:19092"
	o := devOptions{keys: map[string]*string{"advertise": &given}, given: func(flag string) bool { return flag == "advertise" }}
	if one, two := o.told(0), o.told(1); one != "localhost:19092" || two != "localhost:19093" {
		t.Errorf("%s, %s", one, two)
	}
	if given = "auto"; o.told(0) != "" {
		t.Errorf("auto: %s", o.told(0))
	}
	o.advertised = []string{"host:32001"}
	if got := o.told(0); got != "host:32001" {
		t.Errorf("of the file: %s", got)
	}
	o = devOptions{given: func(string) bool { return false }}
	if got := o.told(0); got != "" {
		t.Errorf("nothing is given, and it tells %s", got)
	}
}

// TestDevAdvertises: brokers behind mapped ports tell clients those, each its own.
func TestDevAdvertises(t *testing.T) {
	advertised := "localhost:19092"
	o := devOptions{listen: "0.0.0.0:9092", brokers: 2, logLevel: "warn", keys: map[string]*string{"advertise": &advertised},
		given: func(flag string) bool { return flag == "advertise" }}
	configs, err := o.configs()
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"localhost:19092", "localhost:19093"} {
		if got := configs[i].Advertise; got != want {
			t.Errorf("broker %d advertises %s, want %s", i, got, want)
		}
	}
	for _, wrong := range []string{"localhost", "0.0.0.0:9092", "localhost:65535"} {
		advertised = wrong
		if _, err := o.configs(); err == nil {
			t.Errorf("--advertise %s is taken", wrong)
		}
	}
}
