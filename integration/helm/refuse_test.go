package helm

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestWhatIsRefused takes the least values that render, and one thing more or less that must not.
func TestWhatIsRefused(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		set  []string
		says string
	}{
		"no database":                       {[]string{"metastore.url="}, "metastore.url is required"},
		"two databases":                     {[]string{"metastore.urlSecret.name=db"}, "two ways to name the database"},
		"no bucket":                         {[]string{"objectStore.url="}, "objectStore.url is required"},
		"no peer secret":                    {[]string{"peer.secret.name="}, "openssl rand -hex 24"},
		"no peer secret, but a scaler":      {[]string{"peer.secret.name=", "replicas=1", "autoscaling.enabled=true"}, "openssl rand -hex 24"},
		"two ways of peers":                 {[]string{"peer.certificateSecret=peers"}, "two ways to authenticate brokers"},
		"a zone without a name":             {[]string{"zone.from=name"}, "zone.name is required"},
		"TLS without a certificate":         {[]string{"listeners.internal.protocol=SSL"}, "tls.secret must name a Secret"},
		"outside without a domain":          {[]string{"external.enabled=true", "tls.secret=t"}, "external.domain is required"},
		"outside without a certificate":     {[]string{"external.enabled=true", "external.domain=example.com"}, "tls.secret must name a Secret"},
		"a first user without a password":   {[]string{"auth.bootstrapUser=admin"}, "auth.bootstrapPasswordSecret.name is required"},
		"two listeners on a port":           {[]string{"listeners.other.port=9092", "listeners.other.protocol=PLAINTEXT"}, "are the same"},
		"a listener on the port of peers":   {[]string{"listeners.internal.port=9645"}, "are the same"},
		"a token in clear":                  {[]string{"admin.tokenSecret.name=m"}, "sends the token in clear"},
		"metrics that nobody may see":       {[]string{"serviceMonitor.enabled=true"}, "admin.openMetrics"},
		"metrics that nobody reaches":       {[]string{"serviceMonitor.enabled=true", "admin.openMetrics=true"}, "networkPolicy.monitoring must let Prometheus in"},
		"least above most":                  {[]string{"autoscaling.enabled=true", "autoscaling.minReplicas=10"}, "must not be above"},
		"killed while it hands over":        {[]string{"terminationGracePeriodSeconds=30"}, "must be more than config.drain.timeout"},
		"killed in a longer drain":          {[]string{"terminationGracePeriodSeconds=60", "config.drain.timeout=1m"}, "must be more than config.drain.timeout"},
		"killed as the wait takes the rest": {[]string{"terminationGracePeriodSeconds=34"}, "and preStopSeconds (5) together"},
		"a drain that is no time":           {[]string{"config.drain.timeout=soon"}, "is not a time such as 30s"},
		"too little memory":                 {[]string{"resources.limits.memory=512Mi"}, "give it 1Gi"},
		"memory of no unit":                 {[]string{"resources.limits.memory=2Gib"}, "is not a quantity"},
		"listeners in the file":             {[]string{"config.listeners.internal.listen=:9092"}, "config.listeners is made by the chart"},
		"an address in the file":            {[]string{"config.advertise=a:1"}, "config.advertise is made by the chart"},
		"an admin port in the file":         {[]string{"config.admin.listen=:1"}, "config.admin.listen is made by the chart, which tells pods, probes and Services the same: use admin.port"},
		"a port of peers in the file":       {[]string{"config.peer.listen=:1"}, "use peer.port"},
		"an address of peers in the file":   {[]string{"config.peer.advertise=a:1"}, "use peer.port"},
		"a migration in the file":           {[]string{"config.migrate=none"}, "use migrate of the values"},
		"TLS that probes do not know of":    {[]string{"config.admin.certificate=/c", "config.admin.key=/k"}, "use admin.tlsSecret"},
		"a password in the URL":             {[]string{"metastore.url=postgres://runnel:hunter2@db/runnel"}, "has a password"},
		"a password in the Job's URL":       {[]string{"migration.url=postgres://owner:hunter2@db/runnel"}, "has a password"},
		"a Job's password without a URL":    {[]string{"migration.passwordSecret.name=db"}, "migration.url, which is not set"},
		"a password in the query":           {[]string{"metastore.url=postgres://db/runnel?user=u&password=hunter2"}, "has a password"},
		"a key's password in the query":     {[]string{"metastore.url=postgres://db/runnel?user=u&sslpassword=hunter2"}, "has a password"},
		"a password in the file's URL":      {[]string{"metastore.url=", "config.metastore.url=postgres://runnel:hunter2@db/runnel"}, "has a password"},
		"a database's password in the file": {[]string{"config.metastore.password=hunter2"}, "secrets do not belong into a ConfigMap"},
		"a peers' secret in the file":       {[]string{"config.peer.secret=hunter2hunter2hunter2"}, "secrets do not belong into a ConfigMap"},
		"a secret key in the file":          {[]string{"config.object_store.secret_key=hunter2"}, "secrets do not belong into a ConfigMap"},
		"a token in the file":               {[]string{"config.admin.token=hunter2hunter2hunter2"}, "secrets do not belong into a ConfigMap"},
		"a first password in the file":      {[]string{"config.auth.bootstrap_password=hunter2"}, "secrets do not belong into a ConfigMap"},

		// What the schema refuses.
		"a dotted key in the file":                {[]string{`config.metastore\.password=hunter2`}, "metastore.password"},
		"a dotted key of a section":               {[]string{`config.metastore.tls\.key=hunter2`}, "tls.key"},
		"a section in capitals":                   {[]string{"config.Metastore.password=hunter2"}, "Metastore"},
		"a key in capitals":                       {[]string{"config.metastore.Password=hunter2"}, "Password"},
		"a dotted setting outside of its section": {[]string{`config.cluster\.num\.partitions=6`}, "cluster.num.partitions"},
		"a setting in capitals":                   {[]string{`config.cluster.NUM_PARTITIONS=6`}, "NUM_PARTITIONS"},
		"unknown value":                           {[]string{"replica=5"}, "replica"},
		"unknown nested value":                    {[]string{"external.hostname=a"}, "hostname"},
		"a listener's unknown key":                {[]string{"listeners.internal.listen=a"}, "listen"},
		"a listener without a port":               {[]string{"listeners.other.protocol=PLAINTEXT"}, "port"},
		"a listener called as ours":               {[]string{"listeners.peer.port=1", "listeners.peer.protocol=PLAINTEXT"}, "invalid propertyName 'peer'"},
		"a listener called otherwise":             {[]string{"listeners.in-side.port=1", "listeners.in-side.protocol=PLAINTEXT"}, "in-side"},
		"brokers in words":                        {[]string{"replicas=three"}, "replicas"},
		"no brokers":                              {[]string{"replicas=0"}, "replicas"},
		"a port beyond all":                       {[]string{"peer.port=70000"}, "port"},
		"an unknown protocol":                     {[]string{"listeners.internal.protocol=TLS"}, "protocol"},
		"an unknown migration":                    {[]string{"migrate=always"}, "migrate"},
		"an unknown zone":                         {[]string{"zone.from=cloud"}, "from"},
		"a database of another kind":              {[]string{"metastore.url=mysql://db"}, "url"},
		"a bucket of another kind":                {[]string{"objectStore.url=gs://bucket"}, "url"},
		"a Secret with a bad name":                {[]string{"tls.secret=My_Secret"}, "secret"},
		"NodePorts":                               {[]string{"external.type=NodePort"}, "type"},
		"a boolean in words":                      {[]string{"external.enabled=perhaps"}, "enabled"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			args := values("minimal")
			for _, set := range c.set {
				args = append(args, "--set", set)
			}
			out, err := template(t, args...)
			if err == nil {
				t.Fatalf("it is rendered:\n%s", out)
			}
			message := err.Error()
			if i := strings.LastIndex(message, "Error:"); i >= 0 {
				message = message[i:]
			}
			if !strings.Contains(message, c.says) {
				t.Errorf("it says\n%s\nand not %q", message, c.says)
			}
		})
	}
}

// TestKeysThatHideAreRefusedWithoutTheSchema: a broker takes dotted keys, too, so that a password could get past what looks
// for them, and who renders without the schema should read how to write it.
func TestKeysThatHideAreRefusedWithoutTheSchema(t *testing.T) {
	t.Parallel()
	for set, says := range map[string]string{
		`config.metastore\.password=hunter2`:       "nest it: metastore: {password: ...}",
		`config.cluster\.num\.partitions=6`:        "nest it: cluster: {num.partitions: ...}",
		`config.listeners\.internal\.listen=:9092`: "nest it: listeners: {internal.listen: ...}",
		"config.Metastore.password=hunter2":        "config.Metastore: keys are lower-case words",
		"config.metastore.Password=hunter2":        "config.metastore.Password: keys are lower-case words",
		`config.metastore.tls\.key=hunter2`:        "nest it: tls: {key: ...}",
		"config.cluster.NUM_PARTITIONS=6":          `"NUM_PARTITIONS" is no setting of Kafka's`,
	} {
		out, err := template(t, append(values("minimal"), "--skip-schema-validation", "--set", set)...)
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: error %v, rendered\n%s", set, err, out)
		}
	}
}

// TestOldKubernetesIsRefused holds the chart to its kubeVersion.
func TestOldKubernetesIsRefused(t *testing.T) {
	t.Parallel()
	out, err := template(t, append(values("minimal"), "--kube-version", "1.26.9")...)
	if err == nil || !strings.Contains(err.Error(), "kubeVersion") {
		t.Errorf("error %v, rendered\n%s", err, out)
	}
}

// TestDefaultsTellWhatIsMissing installs the chart without values.
func TestDefaultsTellWhatIsMissing(t *testing.T) {
	t.Parallel()
	if out, err := template(t); err == nil || !strings.Contains(err.Error(), "metastore.url is required") {
		t.Errorf("error %v, rendered\n%s", err, out)
	}
}

// TestEveryDefaultIsInTheSchema finds values that the schema does not know: it would refuse them from users.
func TestEveryDefaultIsInTheSchema(t *testing.T) {
	t.Parallel()
	out, err := template(t, append(values("minimal"), "--values", filepath.Join(chart, "values.yaml"), "--values", "testdata/minimal.yaml")...)
	if err != nil {
		t.Error(err)
	}
	if first, _ := template(t, values("minimal")...); out != first {
		t.Error("defaults that are given render otherwise than those that are not")
	}
}
