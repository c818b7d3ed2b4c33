package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
	"golang.org/x/sync/errgroup"

	"github.com/runnel-io/runnel/integration/secure"
	"github.com/runnel-io/runnel/integration/servers"
)

const (
	secureUser     = "bench"
	securePassword = "benchmarks need no secrets"
)

// guarded is a broker with a listener of plaintext, one of TLS, and one where clients log in.
type guarded struct {
	*cluster
	plaintext, encrypted, login string // addresses
	authority, passwordFile     string
}

// startGuarded starts a broker. Who comes by the open listener may do everything, wherever rules count.
func (m *machine) startGuarded(ctx context.Context, dir, authorizer string) (g *guarded, err error) {
	g = &guarded{passwordFile: filepath.Join(dir, "password")}
	authority, err := secure.NewAuthority(dir, "authority")
	if err != nil {
		return nil, err
	}
	server, err := authority.Issue("server", time.Now().Add(24*time.Hour))
	if err != nil {
		return nil, err
	}
	g.authority = authority.Certificate
	if err := os.WriteFile(g.passwordFile, []byte(securePassword), 0o600); err != nil {
		return nil, err
	}
	env := []string{
		"RUNNEL_TLS_CERTIFICATE=" + server.Certificate, "RUNNEL_TLS_KEY=" + server.Key, "RUNNEL_AUTHORIZER=" + authorizer,
		// What was written in one round is gone after the next but few: the disk would else hold 50 GiB.
		"RUNNEL_GARBAGE_GRACE=1m", "RUNNEL_COMPACTION_ENABLE=false",
		"RUNNEL_CLUSTER_SUPER_USERS=User:ANONYMOUS", "RUNNEL_SASL_MECHANISMS=SCRAM-SHA-256,SCRAM-SHA-512,PLAIN",
	}
	for _, l := range []struct {
		name, protocol string
		address        *string
	}{{"OPEN", "PLAINTEXT", &g.plaintext}, {"TLS", "SSL", &g.encrypted}, {"LOGIN", "SASL_PLAINTEXT", &g.login}} {
		port, err := servers.FreePort()
		if err != nil {
			return nil, err
		}
		*l.address = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
		env = append(env, listenersEnv+l.name+"_LISTEN="+*l.address, listenersEnv+l.name+"_ADVERTISE="+*l.address, listenersEnv+l.name+"_PROTOCOL="+l.protocol)
	}
	if g.cluster, err = m.startCluster(ctx, 1, m.s3.Endpoint(), env...); err != nil {
		return nil, err
	}
	if err := g.makeUser(ctx); err != nil {
		return nil, errors.Join(err, g.stop())
	}
	return g, nil
}

func (g *guarded) makeUser(ctx context.Context) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(g.plaintext))
	if err != nil {
		return err
	}
	defer client.Close()
	for _, m := range []kadm.ScramMechanism{kadm.ScramSha256, kadm.ScramSha512} {
		altered, err := kadm.NewClient(client).AlterUserSCRAMs(ctx, nil, []kadm.UpsertSCRAM{{User: secureUser, Mechanism: m, Iterations: 4096, Password: securePassword}})
		if err != nil {
			return err
		}
		if err := altered[secureUser].Err; err != nil {
			return err
		}
	}
	return nil
}

// security makes a load of parts that compare what is protected with what is not.
func security(parts ...func(context.Context, *machine, *section, string) error) func(context.Context, *machine) (section, error) {
	return func(ctx context.Context, m *machine) (s section, err error) {
		s = newSection("", "without", "with", "")
		dir, err := os.MkdirTemp("", "runnel-bench-secure-")
		if err != nil {
			return s, err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
		for _, part := range parts {
			if err := part(ctx, m, &s, dir); err != nil {
				return s, err
			}
		}
		s.note = "Rounds with and without follow each other in turn; medians, and the quarters between which half of the rounds lie. The CPU is the broker's, from /proc."
		return s, nil
	}
}

// encryption produces flat out to one broker by plaintext and by TLS.
func encryption(ctx context.Context, m *machine, s *section, dir string) (err error) {
	g, err := m.startGuarded(ctx, dir, "off")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.stop()) }()
	var rates, cpus [2][]float64
	for range m.size.rounds {
		for i, more := range [][]string{{"--bootstrap", g.plaintext}, {"--bootstrap", g.encrypted, "--tls-ca", g.authority}} {
			r, err := m.producing(ctx, s, g, more)
			if err != nil {
				return err
			}
			rates[i], cpus[i] = append(rates[i], *r.ThroughputMBPerS), append(cpus[i], *r.CPUSecondsPerGiB)
		}
	}
	ratio := median(rates[1]) / median(rates[0])
	s.row("TLS: produce flat out, MB/s", spread(rates[0]), spread(rates[1]), "ratio "+number(ratio))
	s.row("TLS: broker CPU, s/GiB", spread(cpus[0]), spread(cpus[1]), "ratio "+number(median(cpus[1])/median(cpus[0])))
	s.outcome += "TLS " + number(ratio) + " of plaintext. "
	return nil
}

// producing runs one load against a broker.
func (m *machine) producing(ctx context.Context, s *section, g *guarded, more []string) (result, error) {
	r, err := m.runnelBench(ctx, &s.commands, append([]string{"produce", "--admin", g.admin(), "--clients", "4", "--partitions", "16", "--duration", m.size.seconds + "s"}, more...)...)
	if err == nil && (r.ThroughputMBPerS == nil || r.CPUSecondsPerGiB == nil) {
		err = errors.New("runnel bench produce tells no throughput or no CPU")
	}
	return r, err
}

// authorization produces, and asks for metadata, as a user with many rules beside its own, and where no rule counts.
func authorization(ctx context.Context, m *machine, s *section, dir string) (err error) {
	var both [2]*guarded
	for i, authorizer := range []string{"off", "on"} {
		if both[i], err = m.startGuarded(ctx, dir, authorizer); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, both[i].stop()) }()
	}
	if err := both[1].makeRules(ctx, m.size.rules); err != nil {
		return err
	}
	login := []string{"--bootstrap", both[1].login, "--user", secureUser, "--sasl-mechanism", "SCRAM-SHA-512", "--password-file", both[1].passwordFile}
	var produce, small [2][]float64
	for range m.size.rounds {
		for i, g := range both {
			login[1] = g.login
			r, err := m.producing(ctx, s, g, login)
			if err != nil {
				return err
			}
			perRequest, err := g.smallRequests(ctx, m.size.asking)
			if err != nil {
				return err
			}
			produce[i], small[i] = append(produce[i], *r.CPUSecondsPerGiB), append(small[i], perRequest)
		}
	}
	rules := fmt.Sprintf("%d rules: ", m.size.rules)
	s.row(rules+"produce flat out, broker CPU, s/GiB", spread(produce[0]), spread(produce[1]), moreIn(produce))
	s.row(rules+"Metadata of one topic, broker CPU, µs each", spread(small[0]), spread(small[1]), moreIn(small))
	for _, load := range []struct {
		name string
		run  func() error
	}{
		{"produce flat out", func() error { _, err := m.producing(ctx, s, both[1], login); return err }},
		{"Metadata of one topic", func() error { _, err := both[1].smallRequests(ctx, m.size.asking); return err }},
	} {
		percent, samples, err := share(ctx, both[1].processes[0].Pid(), accessChecks, load.run)
		text := fmt.Sprintf("%s %% of %d samples", number2(percent), samples)
		if errors.Is(err, errNoPerf) {
			text = "not measured: " + err.Error()
		} else if err != nil {
			return err
		}
		s.row(rules+load.name+", share of the broker's CPU in access checks", "-", text, "")
		s.outcome += load.name + ": " + text + ". "
	}
	return nil
}

// accessChecks are the functions that decide who may do what, and those that ask them.
var accessChecks = regexp.MustCompile(`broker/acl\.|broker\.\(\*permits\)|broker\.\(\*Broker\)\.(may|sees|operations|clusterOperations|permits|sights)`)

// moreIn tells by how much the median with rules is above the one without.
func moreIn(both [2][]float64) string {
	return number2(100*(median(both[1])/median(both[0])-1)) + " % more"
}

// number2 is number for what may be below 0.
func number2(f float64) string { return strconv.FormatFloat(f, 'f', 2, 64) }

// makeRules makes what the user needs, and rules of others and about others: prefixes, literals, and some that deny.
func (g *guarded) makeRules(ctx context.Context, count int) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(g.plaintext))
	if err != nil {
		return err
	}
	defer client.Close()
	creation := func(resource kmsg.ACLResourceType, name string, pattern kmsg.ACLResourcePatternType, principal string, op kmsg.ACLOperation, kind kmsg.ACLPermissionType) kmsg.CreateACLsRequestCreation {
		r := kmsg.NewCreateACLsRequestCreation()
		r.ResourceType, r.ResourceName, r.ResourcePatternType, r.Principal, r.Host, r.Operation, r.PermissionType = resource, name, pattern, principal, "*", op, kind
		return r
	}
	topic, prefixed, literal := kmsg.ACLResourceTypeTopic, kmsg.ACLResourcePatternTypePrefixed, kmsg.ACLResourcePatternTypeLiteral
	all := []kmsg.CreateACLsRequestCreation{
		creation(topic, "*", literal, "User:"+secureUser, kmsg.ACLOperationAll, kmsg.ACLPermissionTypeAllow),
		creation(kmsg.ACLResourceTypeCluster, "kafka-cluster", literal, "User:"+secureUser, kmsg.ACLOperationAll, kmsg.ACLPermissionTypeAllow),
	}
	for i := len(all); i < count; i++ {
		user, name := fmt.Sprintf("User:user-%d", i%500), fmt.Sprintf("bench-%d", i)
		switch {
		case i%10 == 0:
			all = append(all, creation(topic, name, literal, user, kmsg.ACLOperationWrite, kmsg.ACLPermissionTypeDeny))
		case i%2 == 0:
			all = append(all, creation(topic, name, prefixed, user, kmsg.ACLOperationRead, kmsg.ACLPermissionTypeAllow))
		default:
			all = append(all, creation(topic, name, literal, user, kmsg.ACLOperationWrite, kmsg.ACLPermissionTypeAllow))
		}
	}
	for len(all) > 0 {
		req := kmsg.NewPtrCreateACLsRequest()
		n := min(1000, len(all))
		req.Creations, all = all[:n], all[n:]
		resp, err := req.RequestWith(ctx, client)
		if err != nil {
			return fmt.Errorf("make rules: %w", err)
		}
		for _, r := range resp.Results {
			if r.ErrorCode != 0 {
				return fmt.Errorf("make rules: error %d", r.ErrorCode)
			}
		}
	}
	return nil
}

// smallRequests are µs of the broker's CPU for each request that does little but be decided on.
func (g *guarded) smallRequests(ctx context.Context, long time.Duration) (float64, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(g.login), kgo.SASL(scram.Auth{User: secureUser, Pass: securePassword}.AsSha512Mechanism()))
	if err != nil {
		return 0, err
	}
	defer client.Close()
	const topic = "asked-about"
	if _, err := kadm.NewClient(client).CreateTopic(ctx, 1, 1, nil, topic); err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
		return 0, err
	}
	pid := g.processes[0].Pid()
	before, err := cpuTime(pid)
	if err != nil {
		return 0, err
	}
	var n atomic.Int64
	asking, ctx := errgroup.WithContext(ctx)
	end := time.Now().Add(long)
	for range askers {
		asking.Go(func() error {
			for time.Now().Before(end) {
				if err := askAbout(ctx, client, topic); err != nil {
					return err
				}
				n.Add(1)
			}
			return nil
		})
	}
	if err := asking.Wait(); err != nil {
		return 0, err
	}
	after, err := cpuTime(pid)
	return float64((after - before).Microseconds()) / float64(n.Load()), err
}

// askers ask at the same time, so that what a machine takes to fall asleep and wake up is not what is measured.
const askers = 32

func askAbout(ctx context.Context, client *kgo.Client, topic string) error {
	req := kmsg.NewPtrMetadataRequest()
	t := kmsg.NewMetadataRequestTopic()
	t.Topic = &topic
	req.Topics = append(req.Topics, t)
	resp, err := client.SeedBrokers()[0].Request(ctx, req)
	if err != nil {
		return err
	}
	return kerr.ErrorForCode(resp.(*kmsg.MetadataResponse).Topics[0].ErrorCode)
}

// idleConnections holds connections that were answered once, and looks at what the broker has in memory.
func idleConnections(ctx context.Context, m *machine, s *section, dir string) error {
	var grown [2]float64
	for i, encrypted := range []bool{false, true} {
		var err error
		if grown[i], err = idleOnes(ctx, m, dir, encrypted); err != nil {
			return err
		}
	}
	s.row(fmt.Sprintf("%d idle connections, plaintext and TLS: MiB resident more", m.size.idle), number(grown[0]), number(grown[1]),
		fmt.Sprintf("KiB each: %s and %s", number(grown[0]*1024/float64(m.size.idle)), number(grown[1]*1024/float64(m.size.idle))))
	s.outcome += fmt.Sprintf("%d idle connections: %s MiB, with TLS %s MiB. ", m.size.idle, number(grown[0]), number(grown[1]))
	return nil
}

func idleOnes(ctx context.Context, m *machine, dir string, encrypted bool) (grown float64, err error) {
	g, err := m.startGuarded(ctx, dir, "off")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, g.stop()) }()
	pem, err := os.ReadFile(g.authority)
	if err != nil {
		return 0, err
	}
	config := &tls.Config{RootCAs: x509.NewCertPool(), ServerName: "localhost", MinVersion: tls.VersionTLS13}
	config.RootCAs.AppendCertsFromPEM(pem)
	pid := g.processes[0].Pid()
	before, err := memory(pid, "VmRSS")
	if err != nil {
		return 0, err
	}
	var conns []net.Conn
	defer func() {
		for _, c := range conns {
			_ = c.Close()
		}
	}()
	hello := kmsg.NewRequestFormatter().AppendRequest(nil, &kmsg.ApiVersionsRequest{Version: 0}, 1)
	answer := make([]byte, 1<<16)
	for range m.size.idle {
		address := g.plaintext
		if encrypted {
			address = g.encrypted
		}
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
		if err != nil {
			return 0, err
		}
		if encrypted {
			conn = tls.Client(conn, config)
		}
		conns = append(conns, conn)
		if _, err := conn.Write(hello); err != nil {
			return 0, err
		}
		if _, err := conn.Read(answer); err != nil {
			return 0, fmt.Errorf("connection %d: %w", len(conns), err)
		}
	}
	after, err := memory(pid, "VmRSS")
	return after - before, err
}

// logins are clients that come, ask for nothing, and go.
func logins(ctx context.Context, m *machine, s *section, dir string) (err error) {
	g, err := m.startGuarded(ctx, dir, "on")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.stop()) }()
	anonymous, err := g.comeAndGo(ctx, m.size.logins, g.plaintext, nil)
	if err != nil {
		return err
	}
	who := scram.Auth{User: secureUser, Pass: securePassword}
	for _, mechanism := range []sasl.Mechanism{who.AsSha256Mechanism(), who.AsSha512Mechanism(), plain.Auth{User: secureUser, Pass: securePassword}.AsMechanism()} {
		each, err := g.comeAndGo(ctx, m.size.logins, g.login, mechanism)
		if err != nil {
			return fmt.Errorf("%s: %w", mechanism.Name(), err)
		}
		s.row("a connection and a login by "+mechanism.Name()+": broker CPU, ms", number(anonymous), number(each), number2(each-anonymous)+" ms more")
		s.outcome += fmt.Sprintf("%s: %s ms. ", mechanism.Name(), number2(each-anonymous))
	}
	return nil
}

// comeAndGo are ms of the broker's CPU for each client.
func (g *guarded) comeAndGo(ctx context.Context, count int, address string, mechanism sasl.Mechanism) (float64, error) {
	opts := []kgo.Opt{kgo.SeedBrokers(address)}
	if mechanism != nil {
		opts = append(opts, kgo.SASL(mechanism))
	}
	pid := g.processes[0].Pid()
	before, err := cpuTime(pid)
	if err != nil {
		return 0, err
	}
	for range count {
		client, err := kgo.NewClient(opts...)
		if err != nil {
			return 0, err
		}
		err = client.Ping(ctx)
		client.Close()
		if err != nil {
			return 0, err
		}
	}
	after, err := cpuTime(pid)
	return float64((after - before).Microseconds()) / 1000 / float64(count), err
}
