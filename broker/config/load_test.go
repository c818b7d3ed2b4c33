package config

import (
	"maps"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

const whole = `version: 1
listen: 127.0.0.1:19092
zone: eu-1a
metastore:
  url: postgres://runnel:s3cret@db/runnel?sslpassword=other
object_store:
  url: s3://bucket/prefix
  endpoint: http://minio:9000
  access_key: me
  secret_key: hidden
segment: {size: 4MiB}
linger:
  # max: 1s
cluster:
  num.partitions: 6
  log.cleanup.policy: [compact, delete]
`

func load(t *testing.T, src Sources) *Loaded {
	t.Helper()
	if src.FileName == "" {
		src.FileName = "runnel.yaml"
	}
	l, err := Load(src)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestLoadFile(t *testing.T) {
	c := load(t, Sources{File: []byte(whole)}).Config
	if c.Listen != "127.0.0.1:19092" || c.Zone != "eu-1a" || c.NodeID != -1 || c.Segment.Size != 4<<20 {
		t.Errorf("%+v", c)
	}
	if o := c.ObjectStore; !o.PathStyle || o.Region != "us-east-1" || o.SecretKey != "hidden" {
		t.Errorf("object store: %+v", o)
	}
	if c.Linger.Max != 250*time.Millisecond || c.Drain.Timeout != 30*time.Second {
		t.Errorf("defaults: %+v", c)
	}
	if c.Garbage != (Garbage{Grace: time.Hour, Sweep: 24 * time.Hour}) || c.Compaction != (Compaction{Enabled: true, Delay: 2 * time.Minute, Memory: 192 << 20}) {
		t.Errorf("defaults: %+v, %+v", c.Garbage, c.Compaction)
	}
	if c.Cluster.NumPartitions != 6 || !c.Cluster.Topic(nil).Compacted || !c.Cluster.Topic(nil).Deleted {
		t.Errorf("cluster: %+v", c.Cluster)
	}
}

func origin(t *testing.T, l *Loaded, key string) (text, from string) {
	t.Helper()
	for _, v := range l.Values {
		if v.Key == key {
			return v.Text, v.Origin
		}
	}
	t.Fatalf("no value %s", key)
	return "", ""
}

func TestPrecedence(t *testing.T) {
	env := []string{"RUNNEL_ZONE=from-env", "RUNNEL_LISTEN=127.0.0.1:1", "RUNNEL_CLUSTER_NUM_PARTITIONS=7",
		"RUNNEL_CLUSTER_LOG_CLEANUP_POLICY=compact", "HOME=/root"}
	l := load(t, Sources{File: []byte(whole), Env: env, Flags: map[string]string{"listen": "127.0.0.1:2"}, Set: []string{"num.partitions=8"}})
	want := map[string][2]string{
		"listen":                     {"127.0.0.1:2", "--listen"},
		"zone":                       {"from-env", "RUNNEL_ZONE"},
		"segment.size":               {"4MiB", "runnel.yaml:11"},
		"linger.max":                 {"250ms", "default"},
		"cluster.num.partitions":     {"8", "--set"},
		"cluster.log.cleanup.policy": {"compact", "RUNNEL_CLUSTER_LOG_CLEANUP_POLICY"},
	}
	for key, w := range want {
		if text, from := origin(t, l, key); text != w[0] || from != w[1] {
			t.Errorf("%s = %s from %s, want %s from %s", key, text, from, w[0], w[1])
		}
	}
	if l.Config.Listen != "127.0.0.1:2" || l.Config.Cluster.NumPartitions != 8 {
		t.Errorf("%+v", l.Config)
	}
}

func TestEveryMistakeIsToldAtOnce(t *testing.T) {
	_, err := Load(Sources{FileName: "f.yaml", File: []byte(`version: 1
listne: :9092
zone: [a, b]
zone: c
metastore:
  urk: postgres://db
  url: postgres://u:pass%zz@h/db
object_store: s3://bucket
segment:
  size: huge
node_id: -4
cluster:
  num.partitons: 3
  message.max.bytes: big
garbage: {grace: 5s, dry_run: maybe}
`), Env: []string{"RUNNEL_LISTN=:1", "RUNNEL_LOG_LEVEL=loud"}, Set: []string{"num.partitions"}})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		`f.yaml:2: unknown key "listne" (did you mean "listen"?)`,
		`f.yaml:3: zone must be a single value`,
		`f.yaml:4: zone stands here and in line 3`,
		`f.yaml:6: unknown key "metastore.urk" (did you mean "metastore.url"?)`,
		`f.yaml:7: invalid value "********" for metastore.url`,
		`f.yaml:8: object_store must be a mapping`,
		`f.yaml:10: invalid value "huge" for segment.size: must be a size such as 64MiB`,
		`f.yaml:11: invalid value "-4" for node_id`,
		`f.yaml:13: cluster: unknown setting "num.partitons" (did you mean "num.partitions"?)`,
		`f.yaml:14: cluster: invalid value "big" for message.max.bytes`,
		`f.yaml:15: invalid value "5s" for garbage.grace: must be 1m0s or more`,
		`f.yaml:15: invalid value "maybe" for garbage.dry_run: must be one of true, false`,
		`RUNNEL_LISTN: unknown variable (did you mean RUNNEL_LISTEN?)`,
		`RUNNEL_LOG_LEVEL: invalid value "loud" for log.level: must be one of debug, info, warn, error`,
		`--set: "num.partitions" is not of the form name=value`,
		`object_store.url is required: set it in the file, as RUNNEL_OBJECT_STORE_URL or as --object-store-url`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("missing %q", want)
		}
	}
	if t.Failed() {
		t.Logf("errors:\n%v", err)
	}
}

func TestRefusedFiles(t *testing.T) {
	tests := []struct{ name, file, want string }{
		{"empty", "", `f.yaml: lacks the version`},
		{"no version", "zone: a\n", `f.yaml: lacks the version`},
		{"later version", "version: 2\n", `f.yaml:1: version "2" is not known`},
		{"not YAML", "version: 1\nzone: \"a\n", `f.yaml:2: found unexpected end`},
		{"a list", "- version\n", `f.yaml:1: the file must be a mapping`},
		{"two documents", "version: 1\n---\nversion: 1\n", `f.yaml: must hold one YAML document`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Load(Sources{FileName: "f.yaml", File: []byte(tt.file), Flags: inMemory()})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}

func TestAFileThatIsNotYAMLIsTheOnlyMistake(t *testing.T) {
	_, err := Load(Sources{FileName: "f.yaml", File: []byte("version: 1\nmetastore:\n\turl: memory://\n")})
	want := "f.yaml:3: found character that cannot start any token (a tab? YAML is indented with spaces)"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func inMemory() map[string]string {
	return map[string]string{"metastore.url": "memory://", "object_store.url": "memory://"}
}

func TestValuesThatDoNotGoTogether(t *testing.T) {
	tests := []struct {
		name  string
		flags map[string]string
		want  string
	}{
		{"linger too long", map[string]string{"linger.max": "1m"}, "linger.max (1m0s) must not be above 15s"},
		{"linger", map[string]string{"linger.min": "2s", "linger.max": "1s"}, "linger.min (2s) must not be above linger.max (1s)"},
		{"segment over budget", map[string]string{"segment.size": "8MiB", "memory.produce": "4MiB"}, "must hold at least one segment"},
		{"half a credential", map[string]string{"object_store.access_key": "a"}, "must be set together"},
		{"forgetful objects", map[string]string{"metastore.url": "postgres://u:pw@db/x"}, "memory:// objects are lost at a restart while postgres://u:********@db/x"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			flags := inMemory()
			for k, v := range tt.flags {
				flags[k] = v
			}
			_, err := Load(Sources{Flags: flags})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}

func TestRequiredKeysThatTheCallerDoesWithout(t *testing.T) {
	l := load(t, Sources{Flags: map[string]string{"metastore.url": "postgres://db/x"}, Optional: []string{"object_store.url"}})
	if l.Config.Metastore.URL != "postgres://db/x" || l.Config.ObjectStore.URL != "" {
		t.Errorf("%+v", l.Config)
	}
}

func TestForeignVariablesDoNotStopABroker(t *testing.T) {
	env := []string{"RUNNEL_SERVICE_HOST=10.0.0.1", "RUNNEL_PORT=tcp://10.0.0.1:9092", "RUNNEL_PORT_9092_TCP_ADDR=10.0.0.1",
		"RUNNEL_ADMIN_SERVICE_PORT_HTTP=9644", "RUNNEL_CONFIG=x", "RUNNEL_BOOTSTRAP=y", "RUNNEL_SOMETHING_ELSE_ENTIRELY=1"}
	l := load(t, Sources{Env: env, Flags: inMemory()})
	if len(l.Warnings) != 1 || !strings.Contains(l.Warnings[0], "RUNNEL_SOMETHING_ELSE_ENTIRELY") {
		t.Errorf("warnings %q", l.Warnings)
	}
}

func TestWriteYAMLShowsNoSecretsAndReadsBack(t *testing.T) {
	l := load(t, Sources{File: []byte(whole)})
	var b strings.Builder
	if err := l.WriteYAML(&b, true); err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"s3cret", "hidden", "other"} {
		if strings.Contains(b.String(), secret) {
			t.Errorf("shows %q:\n%s", secret, b.String())
		}
	}
	again := load(t, Sources{FileName: "again", File: []byte(b.String())})
	for _, v := range l.Values {
		if text, _ := origin(t, again, v.Key); text != v.Text {
			t.Errorf("%s: %q became %q", v.Key, v.Text, text)
		}
	}
	b.Reset()
	if err := l.WriteYAML(&b, false); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(b.String(), "default") || !strings.Contains(b.String(), "# runnel.yaml:2") {
		t.Errorf("only what is set:\n%s", b.String())
	}
}

func TestRedactURL(t *testing.T) {
	for in, want := range map[string]string{
		"postgres://u:p@h/db":              "postgres://u:********@h/db",
		"postgres://u@h/db?password=x&a=b": "postgres://u@h/db?password=********&a=b",
		"postgres://h/db":                  "postgres://h/db",
		"s3://bucket/prefix":               "s3://bucket/prefix",
		"postgres://u:%zz@h/db":            "********",
	} {
		if got := RedactURL(in); got != want {
			t.Errorf("%s: got %s", in, got)
		}
	}
}

func TestSizes(t *testing.T) {
	for in, want := range map[string]int64{"0": 0, "4096": 4096, "8MiB": 8 << 20, "1.5 KiB": 1536, "2GB": 2e9, "7B": 7} {
		if got, err := ParseSize(in); err != nil || got != want {
			t.Errorf("%q: %d, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "MiB", "-1", "NaN", "1e400", "9999999999TiB", "8 MB extra"} {
		if _, err := ParseSize(in); err == nil {
			t.Errorf("%q is taken", in)
		}
	}
	if FormatSize(8<<20) != "8MiB" || FormatSize(1000) != "1000B" || FormatSize(0) != "0B" {
		t.Error("format")
	}
}

func TestAdvertised(t *testing.T) {
	name, err := os.Hostname()
	if err != nil {
		t.Skip("machine without a host name")
	}
	bound := &net.TCPAddr{IP: net.IPv4zero, Port: 9092}
	for _, tt := range []struct {
		advertise, host string
		port            int32
	}{{"", name, 9092}, {"b.example:19092", "b.example", 19092}, {"[::1]:9", "::1", 9}} {
		c := &Listener{Advertise: tt.advertise}
		host, port, err := c.Advertised(bound)
		if err != nil || host != tt.host || port != tt.port {
			t.Errorf("%q: %s:%d, %v", tt.advertise, host, port, err)
		}
	}
}

func TestPeerPortNeedsWhatAuthenticatesIt(t *testing.T) {
	base := map[string]string{"metastore.url": "memory://", "object_store.url": "memory://"}
	for _, tt := range []struct {
		set     map[string]string
		enabled bool
		problem string
	}{
		{set: map[string]string{}},
		{set: map[string]string{"peer.secret": "0123456789abcdef"}, enabled: true},
		{set: map[string]string{"peer.secret": "0123456789abcdef", "peer.listen": ""}},
		{set: map[string]string{"peer.secret": "0123456789abcde"}, problem: "16 characters"},
		{set: map[string]string{"peer.certificate": "c", "peer.key": "k", "peer.authority": "a"}, enabled: true},
		{set: map[string]string{"peer.certificate": "c", "peer.key": "k"}, problem: "set together"},
		{set: map[string]string{"peer.secret": "0123456789abcdef", "peer.certificate": "c", "peer.key": "k", "peer.authority": "a"}, problem: "two ways"},
	} {
		flags := maps.Clone(base)
		maps.Copy(flags, tt.set)
		loaded, err := Load(Sources{Flags: flags})
		if tt.problem != "" {
			if err == nil || !strings.Contains(err.Error(), tt.problem) || strings.Contains(err.Error(), "0123456789") {
				t.Errorf("%v: %v", tt.set, err)
			}
			continue
		}
		if err != nil || loaded.Config.Peer.Enabled() != tt.enabled {
			t.Errorf("%v: enabled %v (%v)", tt.set, loaded.Config.Peer.Enabled(), err)
		}
	}
}

func TestNamesOfKeysAreUnique(t *testing.T) {
	env, flags := map[string]bool{}, map[string]bool{}
	for _, k := range Keys() {
		if env[k.Env()] || flags[k.Flag()] {
			t.Errorf("%s shares a name", k.Name)
		}
		env[k.Env()], flags[k.Flag()] = true, true
		if k.Default == "" {
			continue
		}
		if _, err := k.Kind.parse(k.Default); err != nil {
			t.Errorf("default of %s: %v", k.Name, err)
		}
	}
}

func TestURLs(t *testing.T) {
	for name, kind := range map[string]Kind{"metastore": metastoreURL, "object store": objectStoreURL} {
		for _, in := range []string{"file:///var/lib/runnel", "file:///a b/100%", "memory://"} {
			if _, err := kind.parse(in); err != nil {
				t.Errorf("%s %s: %v", name, in, err)
			}
		}
		for _, in := range []string{"file://relative", "file:/one/slash", "memory://x", "memory", "/path", "http://h", ""} {
			if _, err := kind.parse(in); err == nil {
				t.Errorf("%s %q is taken", name, in)
			}
		}
	}
	for _, in := range []string{"s3://bucket", "s3://bucket/a/b"} {
		if _, err := objectStoreURL.parse(in); err != nil {
			t.Errorf("%s: %v", in, err)
		}
	}
	for _, in := range []string{"s3://", "s3:///prefix", "s3://key:secret@bucket", "s3://bucket?region=x"} {
		if _, err := objectStoreURL.parse(in); err == nil {
			t.Errorf("%s is taken", in)
		}
	}
}

func TestSubnets(t *testing.T) {
	subnet := func(prefix, zone string) Subnet { return Subnet{netip.MustParsePrefix(prefix), zone} }
	for text, want := range map[string][]Subnet{
		"":                                      nil,
		" ":                                     nil,
		"10.0.1.0/24=a":                         {subnet("10.0.1.0/24", "a")},
		"10.0.1.0/24=a,fd00::/64=b":             {subnet("10.0.1.0/24", "a"), subnet("fd00::/64", "b")},
		" 10.0.0.0/8 = far , 10.0.1.0/24=near ": {subnet("10.0.0.0/8", "far"), subnet("10.0.1.0/24", "near")},
		"0.0.0.0/0=a,::/0=a":                    {subnet("0.0.0.0/0", "a"), subnet("::/0", "a")},
		"10.0.1.0/24=germanywestcentral/1":      {subnet("10.0.1.0/24", "germanywestcentral/1")},
		"10.0.1.0/24=a, 10.0.1.0/24=a":          {subnet("10.0.1.0/24", "a"), subnet("10.0.1.0/24", "a")},
	} {
		got := load(t, Sources{File: []byte(whole), Env: []string{"RUNNEL_CLIENT_SUBNETS=" + text}}).Config.Client.Subnets
		if !slices.Equal(got, want) {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
	for text, want := range map[string]string{
		"10.0.1.0/24":                  "such as 10.0.1.0/24=a",
		"10.0.1.0/24=":                 "such as 10.0.1.0/24=a",
		"10.0.1.0=a":                   "such as 10.0.1.0/24=a",
		"10.0.1.0/33=a":                "such as 10.0.1.0/24=a",
		"10.0.1.0/24=a,":               "such as 10.0.1.0/24=a",
		"a=10.0.1.0/24":                "such as 10.0.1.0/24=a",
		"10.0.1.7/24=a":                "an address within 10.0.1.0/24",
		"::ffff:10.0.1.0/120=a":        "as an IPv4 subnet",
		"10.0.1.0/24=a, 10.0.1.0/24=b": "two zones, a and b",
	} {
		_, err := Load(Sources{File: []byte(whole), Env: []string{"RUNNEL_CLIENT_SUBNETS=" + text}})
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "RUNNEL_CLIENT_SUBNETS") {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}
