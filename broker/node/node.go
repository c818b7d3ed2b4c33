// Package node assembles a broker from its parts and runs it: the only package that names implementations.
package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sync/errgroup"

	"github.com/runnel-io/runnel/batching"
	"github.com/runnel-io/runnel/batching/compaction"
	"github.com/runnel-io/runnel/batching/lifecycle"
	"github.com/runnel-io/runnel/batching/reader"
	"github.com/runnel-io/runnel/broker"
	"github.com/runnel-io/runnel/broker/acl"
	"github.com/runnel-io/runnel/broker/certs"
	"github.com/runnel-io/runnel/broker/cluster"
	"github.com/runnel-io/runnel/broker/config"
	"github.com/runnel-io/runnel/broker/group"
	"github.com/runnel-io/runnel/broker/peer"
	"github.com/runnel-io/runnel/broker/quota"
	"github.com/runnel-io/runnel/broker/sequencer"
	"github.com/runnel-io/runnel/broker/settings"
	"github.com/runnel-io/runnel/broker/telemetry"
	"github.com/runnel-io/runnel/broker/txn"
	"github.com/runnel-io/runnel/broker/wire"
	"github.com/runnel-io/runnel/broker/zone"
	"github.com/runnel-io/runnel/broker/zonecache"
	"github.com/runnel-io/runnel/metastore"
	"github.com/runnel-io/runnel/metastore/mark"
	"github.com/runnel-io/runnel/objstore/metered"
)

// Options of a Node.
type Options struct {
	Config  *config.Config
	Stores  *Stores // the caller closes them after Run
	Version string  // of the software, for other brokers and metrics
	// SnapshotEvery is how many entries of the log lie between snapshots; default: what the metastore holds to be best.
	SnapshotEvery int
	// AttemptTimeout bounds one PUT of a segment and one attempt to commit some, UploadTimeout and CommitTimeout are when the
	// write path gives them up; default: the writer's.
	AttemptTimeout, UploadTimeout, CommitTimeout time.Duration
	// Lifecycle tunes the tasks that look after stored data, beyond what Config says of them.
	Lifecycle LifecycleOptions
	Logger    *slog.Logger // default: discard
	// LogLevel is what decides which lines of Logger are written, for clients to change; default: they cannot.
	LogLevel *slog.LevelVar
	// Lease is how long others take this broker for alive after its last sign of life, and Beat how often it gives one and
	// looks for them; default: cluster's.
	Lease, Beat time.Duration
	// Network is what the broker listens on and reaches others by; default: that of this machine.
	Network Network
	// PeerCredentials authenticate other brokers on the peer port; default: what Config.Peer says.
	PeerCredentials *peer.Credentials
}

// Node is one broker.
type Node struct {
	opts     Options
	log      *slog.Logger
	kafka    []listener
	admin    net.Listener // nil: none
	peer     net.Listener // nil: none
	registry *prometheus.Registry
	certs    *certs.Watcher
	// adminFiles are what the admin server shows, nil: it speaks plain HTTP.
	adminFiles *certs.Source
	ready      readiness
	// unwritable is why the log takes no commit of this broker any more.
	unwritable atomic.Pointer[error]

	members   *cluster.Membership
	replica   *metastore.Replica
	settings  *settings.Live
	access    *acl.Live
	candidate *candidateRules
	seq       *sequencer.Sequencer
	peers     *peer.Server // nil: no peer port
	callers   *peer.Client // nil: no peer port
	writer    *batching.Writer
	blocks    *blocks
	groups    *group.Coordinator
	reaper    *txn.Reaper
	life      *lifecycle.Lifecycle
	compactor *compaction.Compactor
	marks     *mark.Keeper
	audit     auditor
	quotas    *quota.Limiter
	sharing   sharing // of quotas with other brokers
	server    *wire.Server
}

// Open binds the addresses and puts the parts together. It does not touch the stores: a broker starts while they are
// down, and says so at /readyz.
func Open(ctx context.Context, opts Options) (*Node, error) {
	if len(opts.Config.Unlocated()) > 0 {
		return nil, errNotLocated
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.Network == nil {
		opts.Network = newMachine()
	}
	n := &Node{opts: opts, log: opts.Logger, registry: prometheus.NewRegistry()}
	n.certs = certs.NewWatcher(certs.Options{Logger: n.part("certs"), Registerer: n.registry})
	n.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	n.ready.set(componentBroker, errors.New("starting"))
	if err := n.listenForClients(ctx); err != nil {
		return nil, err
	}
	err := n.listenForAdmin(ctx)
	if err == nil {
		err = n.listenForPeers(ctx)
	}
	if err == nil {
		err = n.assemble()
	}
	if err != nil {
		n.close()
		return nil, err
	}
	return n, nil
}

func (n *Node) listenForPeers(ctx context.Context) (err error) {
	if c := &n.opts.Config.Peer; !c.Enabled() && (c.Listen == "" || n.opts.PeerCredentials == nil) {
		return nil
	}
	if n.peer, err = n.opts.Network.Listen(ctx, "tcp", n.opts.Config.Peer.Listen); err != nil {
		return fmt.Errorf("listen for other brokers: %w", err)
	}
	return nil
}

// AdminAddr is the address of the admin server, nil if there is none.
func (n *Node) AdminAddr() net.Addr {
	if n.admin == nil {
		return nil
	}
	return n.admin.Addr()
}

// Memory is what this broker may hold at present: its configured budgets, frames of Produce that lie ready, what the tasks
// take that it has, and the metadata, which no configuration bounds.
func (n *Node) Memory() int64 {
	c := &n.opts.Config.Memory
	return c.Produce + c.Produce/8 + c.Cache + n.taskMemory() + n.replica.Memory()
}

// Replica is this broker's copy of the log's state, for whoever examines it. It stays readable when Run has ended.
func (n *Node) Replica() *metastore.Replica { return n.replica }

func (n *Node) close() {
	for _, l := range n.kafka {
		_ = l.bound.Close()
	}
	if n.admin != nil {
		_ = n.admin.Close()
	}
	if n.peer != nil {
		_ = n.peer.Close()
	}
}

func (n *Node) assemble() error {
	c, meta := n.opts.Config, n.opts.Stores.Metastore
	listeners, err := n.advertise()
	if err != nil {
		return err
	}
	self := metastore.Broker{
		NodeID: metastore.NodeID(c.NodeID), Host: listeners[0].Host, Port: listeners[0].Port, Listeners: listeners,
		Zone: c.Zone, Version: n.opts.Version,
	}
	if n.peer != nil {
		if self.PeerHost, self.PeerPort, err = c.Peer.Advertised(n.peer.Addr()); err != nil {
			return err
		}
	}
	n.members = cluster.New(meta, self, cluster.Options{
		Lease: n.opts.Lease, Beat: n.opts.Beat,
		Logger: n.part("cluster"), Registered: func(b metastore.Broker) {
			n.groups.SetNode(b.NodeID)
			n.settings.SetNode(b.NodeID)
		},
	})
	n.replica = metastore.NewReplica(meta, metastore.ReplicaOptions{
		Logger: n.part("replica"), Now: n.members.Now, SnapshotEvery: n.opts.SnapshotEvery, ProducerExpiration: func() time.Duration { return n.settings.Load().ProducerIDExpiration },
	})
	n.settings = settings.NewLive(c.Cluster, n.replica)
	n.assembleAccess()
	objects := metered.New(n.opts.Stores.Objects, n.registry)
	n.marks = mark.NewKeeper(objects, meta, n.replica, n.members, mark.Options{Logger: n.part("marks"), Registerer: n.registry})
	if err := n.assemblePeers(objects); err != nil {
		return err
	}
	n.writer = batching.New(objects, n.seq, batching.Options{
		SegmentBytes: c.Segment.Size, MinLinger: orNone(c.Linger.Min), MaxLinger: orNone(c.Linger.Max), PutRate: c.Put.Rate,
		AttemptTimeout: n.opts.AttemptTimeout, UploadTimeout: n.opts.UploadTimeout, CommitTimeout: n.opts.CommitTimeout,
		RecentBytes: orNone(c.Memory.Cache / 2), MaxBuffered: 2 * c.Memory.Produce,
		DrainTimeout: writerTime(c.Drain.Timeout), Now: n.members.Now, Logger: n.part("writer"), Registerer: n.registry,
	})
	n.groups = group.New(meta, metastore.AnyNodeID, group.Options{
		Logger: n.part("groups"), Clock: n.members.Now, Owns: n.members.Owns, Keep: n.members.Stale(), DrainTimeout: stepTime(c.Drain.Timeout),
		Pending: n.replica.GroupPending, CatchUp: n.replica.Refresh, Supersede: txn.Supersede(n.replica, n.seq),
		InitialRebalanceDelay: orNone(c.Cluster.GroupInitialRebalanceDelay),
		MinSessionTimeout:     c.Cluster.GroupMinSessionTimeout, MaxSessionTimeout: c.Cluster.GroupMaxSessionTimeout,
		MaxSize: c.Cluster.GroupMaxSize, MaxGroups: func() int { return n.settings.Load().MaxGroups }, OffsetMetadataMaxBytes: c.Cluster.OffsetMetadataMaxBytes,
		OffsetsRetention: c.Cluster.OffsetsRetention, ExpireInterval: c.Cluster.OffsetsRetentionCheck,
		Topics: n.replica, ConsumerMaxSize: c.Cluster.GroupConsumer.MaxSize, ConsumerAssignors: c.Cluster.GroupConsumer.Assignors,
		ConsumerMigration: migration(c.Cluster.GroupConsumer.MigrationPolicy), ConsumerTimes: consumerTimes(n.settings),
	})
	n.reaper = txn.New(n.replica, n.seq, n.members, meta, txn.Options{
		AbortEvery: c.Cluster.TransactionAbortInterval, ForgetEvery: c.Cluster.TransactionForgetInterval,
		Expiration: c.Cluster.TransactionalIDExpiration, Logger: n.part("transactions"), Registerer: n.registry,
	})
	if n.life, err = n.assembleLifecycle(objects); err != nil {
		return err
	}
	if n.audit, err = n.openAudit(&c.Audit); err != nil {
		return err
	}
	mechanisms, err := authentication(c, n.replica)
	if err != nil {
		return err
	}
	n.quotas = n.assembleQuotas()
	b := broker.New(broker.Deps{
		Authentication: mechanisms, Quotas: n.quotas,
		Topics: n.replica, Changes: n.replica, ProducerIDs: n.replica, Partitions: n.replica, Membership: n.members,
		States: n.replica, Transactions: n.seq, Groups: n.groups, TopicOffsets: meta, Writer: n.writer,
		Reader:   reader.New(n.replica, n.blocks, n.blocks.ahead, n.writer.Recent(), reader.Options{Now: n.members.Now, UnindexedBytes: n.opts.Lifecycle.UnindexedBytes}),
		Settings: n.settings, Audit: n.audit, Configs: n.replica, LogLevel: n.opts.LogLevel, Zones: clientZones(&c.Client), LogDir: c.ObjectStore.URL, Roles: n.roles,
		Telemetry: telemetry.New(subscriptions(n.replica), telemetry.Options{MaxBytes: c.Cluster.TelemetryMaxBytes, Now: n.members.Now, Registerer: n.registry}),
		Access:    n.access,
		Shown:     n.showAccess(n.shown()), Logger: n.part("broker"), Now: n.members.Now,
	})
	n.server, err = wire.NewServer(b.Routes(), wire.Options{
		Logger: n.part("wire"), Registerer: n.registry, Budget: wire.NewBudget(c.Memory.Produce),
		AnswerBudget:    wire.NewBudget(answerBytes),
		FrameBytes:      c.Memory.Produce / 8,
		MaxRequestBytes: int(c.Cluster.SocketRequestMaxBytes), MaxConnections: func() int { return n.settings.Load().MaxConnections },
		IdleTimeout: c.Cluster.ConnectionsMaxIdle, Connections: n.connections(), Now: n.members.Now,
	})
	return err
}

// assemblePeers makes what works with other brokers: the sequencer, which without a peer port commits for this broker
// alone, and the block cache, which without one loads for this broker alone.
func (n *Node) assemblePeers(objects *metered.Store) error {
	var credentials *peer.Credentials
	var err error
	if n.peer != nil {
		if credentials = n.opts.PeerCredentials; credentials == nil {
			if credentials, err = n.peerCredentials(&n.opts.Config.Peer); err != nil {
				return err
			}
		}
		n.callers = peer.NewClient(credentials, n.members.ClusterID, peer.ClientOptions{Dial: n.opts.Network.DialContext})
	}
	sharing := zonecache.Options{Logger: n.part("zonecache"), Registerer: n.registry}
	if n.blocks, err = openBlocks(objects, n.opts.Config.Memory.Cache/2, n.members, n.callers, sharing, n.registry); err != nil {
		return err
	}
	opts := sequencer.Options{Logger: n.part("sequencer"), Registerer: n.registry}
	if n.peer == nil {
		n.seq = sequencer.New(n.replica, n.members, n.opts.Stores.Metastore, nil, opts)
		return nil
	}
	n.seq = sequencer.New(n.replica, n.members, n.opts.Stores.Metastore, n.callers, opts)
	n.peers = peer.NewServer(credentials, n.members.ClusterID, n.seq, n.replica,
		peer.ServerOptions{Logger: n.part("peer"), Blocks: n.blocks.lender, Usage: n.sharing.usage})
	return nil
}

// roles are those that this broker holds.
func (n *Node) roles() (held []broker.Role) {
	if epoch, ok := n.seq.Held(); ok {
		held = append(held, broker.Role{Name: sequencer.LeaseName, Epoch: epoch})
	}
	if epoch, ok := n.reaper.Held(); ok {
		held = append(held, broker.Role{Name: txn.LeaseName, Epoch: epoch})
	}
	for _, task := range n.life.Held() {
		held = append(held, broker.Role{Name: task.Name, Epoch: task.Epoch})
	}
	return held
}

func clientZones(c *config.Client) *zone.Clients {
	subnets := make([]zone.Subnet, len(c.Subnets))
	for i, s := range c.Subnets {
		subnets[i] = zone.Subnet(s)
	}
	return zone.New(subnets, c.Zone)
}

func (n *Node) peerCredentials(c *config.Peer) (*peer.Credentials, error) {
	if c.Secret != "" {
		return peer.FromSecret(c.Secret)
	}
	files, err := n.certs.Open("peers", certs.Files{Certificate: c.Certificate, Key: c.Key, Authority: c.Authority})
	if err != nil {
		return nil, err
	}
	return peer.FromConfigs(files.Mutual()), nil
}

// answerBytes bounds the records that answers to Fetch hold beside the caches, while consumers read them.
const answerBytes = 128 << 20

// orNone translates 0 for none to the options' negative, whose 0 is the default.
func orNone[T ~int64](d T) T {
	if d == 0 {
		return -1
	}
	return d
}

func (n *Node) part(name string) *slog.Logger { return n.log.With("component", name) }

// Run serves clients until ctx ends, then drains: it hands over to the other brokers, leaves the cluster, stops reading
// requests, answers what is in flight, uploads and commits what is buffered, and returns nil. Only a broken cluster (a node id used twice, an
// unusable listener) ends it with an error.
func (n *Node) Run(ctx context.Context) error {
	defer n.close()
	adminCtx, stopAdmin := context.WithCancel(context.WithoutCancel(ctx))
	defer stopAdmin()
	admin := new(errgroup.Group)
	admin.Go(func() error { return n.certs.Run(adminCtx) })
	if n.admin != nil {
		admin.Go(func() error {
			return newAdminServer(&n.opts.Config.Admin, n.adminFiles, &n.ready, n.registry, n.part("admin")).run(adminCtx, n.admin)
		})
	}
	err := n.join(ctx)
	if err == nil {
		err = n.serve(ctx)
	}
	n.ready.set(componentBroker, errors.New("stopped"))
	stopAdmin()
	if adminErr := admin.Wait(); err == nil {
		err = adminErr
	}
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// serve runs the parts and stops them in the order in which they need each other.
func (n *Node) serve(ctx context.Context) error {
	// A part that fails stops the node; each part has a context of its own, so that none stops before its turn.
	failed, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	base := context.WithoutCancel(ctx)
	parts := new(errgroup.Group)
	start := func(name string, run func(context.Context) error) (stop func()) {
		own, cancel := context.WithCancel(base)
		done := make(chan struct{})
		parts.Go(func() error {
			defer close(done)
			if err := run(own); err != nil && own.Err() == nil {
				fail(fmt.Errorf("%s: %w", name, err))
			}
			return nil
		})
		return func() { cancel(); <-done }
	}
	stopReplica := start("follow commit log", n.followLog)
	stopChecks := start("check stores", n.watchStores)
	stopMarks := start("marks", n.marks.Run)
	stopCandidate := start("candidate access rules", n.candidate.Run)
	stopMembers := start("membership", n.members.Run)
	stopGroups := start("group coordinator", n.groups.Run)
	stopSequencer := start("sequencer", n.seq.Run)
	stopPeers := start("peer port", n.servePeers)
	stopSharing := start("shares of quotas", n.shareQuotas)
	stopRole := start("sequencer's role", n.seq.HoldRole)
	stopWriter := start("write path", n.write)
	stopAudit := start("audit log", n.audit.run)
	stopReaper := start("reaper of transactions", n.reaper.Run)
	stopLife := start("life of stored data", n.life.Run)
	serving, stopServing := context.WithCancel(base)
	defer stopServing()
	served := n.serveClients(serving)
	n.ready.set(componentBroker, nil)

	var err error
	select {
	case <-failed.Done():
		if cause := context.Cause(failed); !errors.Is(cause, context.Canceled) {
			err = cause
		}
	case serveErr := <-served:
		err = fmt.Errorf("serve Kafka clients: %w", serveErr)
		served <- serveErr
	}
	n.ready.set(componentBroker, errors.New("draining"))
	n.log.Info("draining")
	drain, cancel := context.WithTimeout(base, requestTime(n.opts.Config.Drain.Timeout))
	defer cancel()
	stopLife() // before anybody that needs processors and network to answer
	stopReaper()
	stopRole() // another broker sequences, and we what it and others still ask of us
	n.handOver(drain, stopGroups)
	stopMembers() // what is left of our keys is others' while we answer what is in flight
	stopGroups()  // joins that wait are told to look for another coordinator, else they would hold up the drain
	n.writer.Hurry()
	if drainErr := n.server.Shutdown(drain); drainErr != nil {
		n.log.Warn("connections closed before their requests were answered", "error", drainErr)
	}
	for range n.kafka {
		<-served
	}
	stopAudit() // writes what is left, perhaps to a topic
	stopWriter()
	stopSharing()
	stopPeers()
	stopSequencer()
	stopCandidate()
	stopChecks()
	stopReplica()
	stopMarks() // last: it leaves word of all that was folded
	return errors.Join(err, parts.Wait(), n.blocks.Close())
}

// servePeers answers other brokers until ctx ends.
func (n *Node) servePeers(ctx context.Context) error {
	if n.peers == nil {
		<-ctx.Done()
		return nil
	}
	defer n.callers.Close()
	return n.peers.Run(ctx, n.peer)
}

// followLog follows the commit log. One that cannot be followed makes the broker useless, but not for a restart to hide:
// it stays up, not ready, and says why.
func (n *Node) followLog(ctx context.Context) error {
	if err := n.replica.Run(ctx); err != nil {
		n.note(componentMetastore, err)
		<-ctx.Done()
	}
	return nil
}

// write uploads and commits. A log that takes no commit any more is told of as by followLog, and for the same reason does not
// end the broker: one that a supervisor starts again has nothing to compare the log with, and would go on from it.
func (n *Node) write(ctx context.Context) error {
	if err := n.writer.Run(ctx); err != nil {
		n.unwritable.Store(&err)
		n.note(componentMetastore, err)
		<-ctx.Done()
	}
	return nil
}

// metastoreHealth is nil while the metastore lets this broker do what it is there for.
func (n *Node) metastoreHealth() error {
	if err := n.replica.Health(); err != nil {
		return err
	}
	if err := n.unwritable.Load(); err != nil {
		return *err
	}
	return n.members.Health()
}

// watchStores keeps /readyz true while the broker runs.
func (n *Node) watchStores(ctx context.Context) error {
	tick := time.NewTicker(checkPause)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		n.note(componentObjectStore, n.checkObjects(ctx))
		n.note(componentMetastore, n.metastoreHealth())
	}
}
