package broker

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/batching/reader"
	"github.com/runnel-io/runnel/batching/recordbatch"
	"github.com/runnel-io/runnel/batching/recordbatch/recordbatchtest"
	"github.com/runnel-io/runnel/metastore"
)

// Random transactions of producers of both versions beside plain ones, in several partitions, with time-outs and new
// incarnations: what consumers get is what a naive model says that they may see.
func TestRandomTransactions(t *testing.T) {
	for range 10 {
		seed := rand.Uint64()
		t.Run(fmt.Sprintf("seed %#x", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { randomTransactions(t, rand.New(rand.NewPCG(seed, 0))) })
		})
	}
}

// txnModel is what partitions should hold.
type txnModel struct {
	*recordHarness
	rng        *rand.Rand
	topic      *metastore.Topic
	partitions [3][]modelRecord // by offset
	values     int
	clients    []*modelClient
	consumers  []*modelConsumer
}

// modelRecord is a record, or a marker: one without a value.
type modelRecord struct {
	value string
	txn   *modelTxn // nil: none
}

type modelTxn struct {
	ended, aborted bool
	in             map[int32]bool // partitions with records
}

type modelClient struct {
	*txnClient
	version int8
	txn     *modelTxn // open, or nil
}

type modelConsumer struct {
	isolation reader.Isolation
	scan      reader.Scan
	at        [3]int64
	values    [3][]string // what it got
}

func randomTransactions(t *testing.T, rng *rand.Rand) {
	h := newRecordBroker(t, nil)
	m := &txnModel{recordHarness: h, rng: rng, topic: h.topic("events", 3, 1)}
	for i := range 4 {
		m.clients = append(m.clients, &modelClient{txnClient: h.txnClient(fmt.Sprint("client-", i)), version: int8(1 + i%2)})
		m.consumers = append(m.consumers, &modelConsumer{isolation: reader.Isolation(i % 2)})
	}
	for range 300 {
		m.step()
	}
	for _, c := range m.clients {
		m.end(c, rng.IntN(2) == 0)
	}
	for _, c := range m.consumers {
		for p := range m.partitions {
			for c.at[p] < int64(len(m.partitions[p])) {
				m.fetch(c)
			}
			var want []string
			for _, r := range m.partitions[p] {
				if r.value != "" && (c.isolation == reader.ReadUncommitted || r.txn == nil || !r.txn.aborted) {
					want = append(want, r.value)
				}
			}
			if !slices.Equal(c.values[p], want) {
				t.Fatalf("isolation %d, partition %d: %d records, want %d", c.isolation, p, len(c.values[p]), len(want))
			}
		}
	}
}

func (m *txnModel) step() {
	c := m.clients[m.rng.IntN(len(m.clients))]
	switch m.rng.IntN(12) {
	case 0, 1:
		m.end(c, m.rng.IntN(2) == 0)
	case 2:
		if c.txn != nil && m.rng.IntN(3) == 0 { // it took too long
			m.transact(c, metastore.AbortTxn{ID: c.id, Number: c.number()})
			m.ended(c, true)
			m.reborn(c)
		}
	case 3:
		if m.rng.IntN(3) == 0 {
			m.reborn(c)
		}
	case 4:
		records := m.records()
		p := m.rng.Int32N(3)
		h := recordbatchtest.Options{}.NotIdempotent()
		equal(m.t, "offset", m.recordHarness.produce(m.topic, p, recordbatchtest.Encode(records, h)), int64(len(m.partitions[p])))
		m.keep(p, records, nil)
	case 5, 6, 7:
		m.produce(c)
	default:
		m.fetch(m.consumers[m.rng.IntN(len(m.consumers))])
	}
	for p := range m.partitions {
		stable := slices.IndexFunc(m.partitions[p], func(r modelRecord) bool { return r.txn != nil && !r.txn.ended })
		if stable < 0 {
			stable = len(m.partitions[p])
		}
		marks, _ := m.replica.Watermarks(metastore.TopicPartition{Topic: m.topic.ID, Partition: int32(p)})
		equal(m.t, "watermarks", marks, metastore.Watermarks{High: metastore.Offset(len(m.partitions[p])), Stable: metastore.Offset(stable)})
	}
}

func (m *txnModel) transact(c *modelClient, request metastore.TxnRequest) {
	c.txnClient.transact(request)
}

// reborn gives the transactional id to a new producer, which aborts what is open.
func (m *txnModel) reborn(c *modelClient) {
	fresh := m.recordHarness.txnClient(c.id)
	m.ended(c, true)
	c.txnClient = fresh
}

func (m *txnModel) end(c *modelClient, commit bool) {
	if c.txn == nil {
		return
	}
	c.end(commit, c.version)
	m.ended(c, !commit)
}

func (m *txnModel) ended(c *modelClient, aborted bool) {
	if c.txn == nil {
		return
	}
	c.txn.ended, c.txn.aborted = true, aborted
	for p := range int32(len(m.partitions)) {
		if c.txn.in[p] {
			m.partitions[p] = append(m.partitions[p], modelRecord{txn: c.txn})
		}
	}
	c.txn = nil
}

func (m *txnModel) records() []recordbatch.Record {
	records := testRecords(1+m.rng.IntN(4), 1_000_000)
	for i := range records {
		m.values++
		records[i].Value = fmt.Append(nil, "value ", m.values)
	}
	return records
}

func (m *txnModel) keep(p int32, records []recordbatch.Record, txn *modelTxn) {
	for i := range records {
		m.partitions[p] = append(m.partitions[p], modelRecord{string(records[i].Value), txn})
	}
}

// produce sends batches to one or several partitions in one request: of a client that writes them to one segment.
func (m *txnModel) produce(c *modelClient) {
	if c.txn == nil {
		c.txn = &modelTxn{in: map[int32]bool{}}
	}
	version := int16(implicitVersion)
	var req *kmsg.ProduceRequest
	var sent []int32
	var batches [][]recordbatch.Record
	for range 1 + m.rng.IntN(3) {
		p := m.rng.Int32N(3)
		tp := metastore.TopicPartition{Topic: m.topic.ID, Partition: p}
		if c.version == 1 {
			version = 9
			c.add(tp)
		}
		records := m.records()
		one := c.request(m.topic, p, records)
		c.sequence[tp] += int32(len(records))
		if req == nil {
			req = one
		} else {
			req.Topics = append(req.Topics, one.Topics...)
		}
		sent, batches = append(sent, p), append(batches, records)
	}
	for i, row := range m.sendRequest(version, req) {
		equal(m.t, "error", row.ErrorCode, 0)
		equal(m.t, "offset", row.BaseOffset, int64(len(m.partitions[sent[i]])))
		c.txn.in[sent[i]] = true
		m.keep(sent[i], batches[i], c.txn)
	}
}

// fetch asks for all partitions, as a consumer goes on.
func (m *txnModel) fetch(c *modelConsumer) {
	req := fetchRequest(m.topic, 0, 1, 2)
	req.SetVersion(16)
	req.IsolationLevel, req.MaxBytes = int8(c.isolation), m.rng.Int32N(1500)
	for p := range c.at {
		req.Topics[0].Partitions[p].FetchOffset = c.at[p]
	}
	m.rng.Shuffle(len(c.at), func(i, j int) {
		rows := req.Topics[0].Partitions
		rows[i], rows[j] = rows[j], rows[i]
	})
	answer := m.broker.fetch(m.t.Context(), nil, anyTopic, &c.scan, req)
	resp := kmsg.NewPtrFetchResponse()
	resp.SetVersion(16)
	must(m.t, resp.ReadFrom(answer.AppendTo(nil)))
	answer.Release()
	for i := range resp.Topics[0].Partitions {
		row := &resp.Topics[0].Partitions[i]
		equal(m.t, "error", row.ErrorCode, 0)
		c.take(m.t, row)
		if c.isolation == reader.ReadCommitted && c.at[row.Partition] > row.LastStableOffset {
			m.t.Fatalf("read to %d, stable %d", c.at[row.Partition], row.LastStableOffset)
		}
	}
}

// take is what clients do with an answer: drop the aborted records by the list.
func (c *modelConsumer) take(t *testing.T, row *kmsg.FetchResponseTopicPartition) {
	aborted := row.AbortedTransactions
	slices.SortFunc(aborted, func(a, b kmsg.FetchResponseTopicPartitionAbortedTransaction) int {
		return int(a.FirstOffset - b.FirstOffset)
	})
	dropping := map[int64]bool{}
	for b, err := range recordbatch.Split(row.RecordBatches) {
		must(t, err)
		h, err := recordbatch.ParseHeader(b)
		must(t, err)
		for len(aborted) > 0 && aborted[0].FirstOffset <= h.LastOffset() {
			dropping[aborted[0].ProducerID] = true
			aborted = aborted[1:]
		}
		for r, err := range recordbatch.Records(b, 1<<20) {
			must(t, err)
			switch {
			case h.Control() && r.Key[3] == 0:
				delete(dropping, h.ProducerID)
			case h.Control(), h.Transactional() && dropping[h.ProducerID], r.Offset < c.at[row.Partition]:
			default:
				c.values[row.Partition] = append(c.values[row.Partition], string(r.Value))
			}
		}
		c.at[row.Partition] = h.LastOffset() + 1
	}
	if len(aborted) > 0 {
		t.Fatalf("aborted transactions that overlap no batch: %+v", aborted)
	}
}
