package broker

import (
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/metastore"
)

// another is another connection to the broker.
func (h *harness) another() *harness {
	h.t.Helper()
	conn, err := net.Dial("tcp", h.conn.RemoteAddr().String())
	must(h.t, err)
	h.t.Cleanup(func() { _ = conn.Close() })
	more := *h
	more.conn = conn
	return &more
}

// send sends a request whose answer nobody reads.
func (h *harness) send(version int16, req kmsg.Request) {
	h.t.Helper()
	req.SetVersion(version)
	_, err := h.conn.Write(kmsg.NewRequestFormatter().AppendRequest(nil, req, 1))
	must(h.t, err)
}

// otherBroker is another broker as far as transactions go, of which the harness's hears only when it looks.
type otherBroker struct {
	t   *testing.T
	log *metastore.Replica
}

func (h *harness) otherBroker() *otherBroker {
	h.t.Helper()
	return &otherBroker{h.t, h.elsewhere()}
}

func (e *otherBroker) decide(req metastore.TxnRequest) metastore.TxnResult {
	e.t.Helper()
	results, err := e.log.Transact(e.t.Context(), []metastore.TxnRequest{req})
	must(e.t, err)
	must(e.t, results[0].Err)
	return results[0]
}

// begin begins the next transaction of a producer.
func (e *otherBroker) begin(p *txnProducer) {
	e.t.Helper()
	must(e.t, e.log.CatchUp(e.t.Context()))
	t, _ := e.log.Transaction(p.id)
	e.decide(metastore.AddToTxn{ID: p.id, Producer: metastore.ProducerID(p.pid), Epoch: metastore.ProducerEpoch(p.epoch), Groups: []string{"g"}, Number: t.Number})
}

// end aborts the transaction of a producer, and goes on with what it is then.
func (e *otherBroker) end(p *txnProducer, version int8) {
	e.t.Helper()
	must(e.t, e.log.CatchUp(e.t.Context()))
	t, _ := e.log.Transaction(p.id)
	now := e.decide(metastore.EndTxn{ID: p.id, Producer: metastore.ProducerID(p.pid), Epoch: metastore.ProducerEpoch(p.epoch), Version: version, Number: t.Number, Fresh: metastore.NoProducerID})
	p.pid, p.epoch = int64(now.Producer), int16(now.Epoch)
}

func (e *otherBroker) txn(id string) metastore.Transaction {
	e.t.Helper()
	must(e.t, e.log.CatchUp(e.t.Context()))
	t, _ := e.log.Transaction(id)
	return t
}

// TestARequestThatIsLateDecidesNoLaterTransaction (KAFKA-17754): a request is on its way to the log while its producer gives
// up, ends the transaction through another broker, and begins the next at the same epoch.
func TestARequestThatIsLateDecidesNoLaterTransaction(t *testing.T) {
	for name, late := range map[string]func(p *txnProducer) (int16, kmsg.Request){
		"commit":         func(p *txnProducer) (int16, kmsg.Request) { return 4, p.endRequest(true) },
		"abort":          func(p *txnProducer) (int16, kmsg.Request) { return 1, p.endRequest(false) },
		"add partitions": func(p *txnProducer) (int16, kmsg.Request) { return 3, p.addRequest("t", 0) },
		"commit offsets": func(p *txnProducer) (int16, kmsg.Request) { return 3, p.commitRequest("g", "t", 99, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t, nil, 0)
			h.topic("t", 1, 1)
			p, other := h.transactional("id"), h.otherBroker()
			equal(t, "begin", p.addOffsets(4, "g"), 0)
			request := h.withDelays(t).hold()
			paused := h.another()
			paused.send(late(p))
			<-request.waits
			must(t, paused.conn.Close())
			<-request.gone
			other.end(p, 1)
			other.begin(p)
			close(request.goOn)
			if outcome := <-request.outcomes; !errors.Is(outcome.Err, metastore.ErrTxnMoved) {
				t.Errorf("outcome %+v", outcome)
			}
			_, code := h.position("g", "t", 0, true)
			equal(t, "position", code, 0)
			equal(t, "state", other.txn("id").State, metastore.TxnOngoing)
			equal(t, "partitions", len(other.txn("id").Partitions), 0)
			equal(t, "the next", p.end(4, true), 0)
			equal(t, "state", other.txn("id").State, metastore.TxnCompleteCommit)
			offset, _ := h.position("g", "t", 0, true)
			equal(t, "position after the next", offset, -1)
		})
	}
}

// TestOffsetsThatAreLateDoNotReplaceNewerOnes of the same transaction, which its producer got in through another connection.
func TestOffsetsThatAreLateDoNotReplaceNewerOnes(t *testing.T) {
	h := newHarness(t, nil, 0)
	h.topic("t", 1, 1)
	p, other := h.transactional("id"), h.otherBroker()
	equal(t, "begin", p.addOffsets(4, "g"), 0)
	request := h.withDelays(t).hold()
	paused := h.another()
	paused.send(3, p.commitRequest("g", "t", 10, 0))
	<-request.waits
	must(t, paused.conn.Close())
	<-request.gone
	equal(t, "asked again", p.commitOffset(4, "g", "t", 0, 10), 0)
	equal(t, "next position", p.commitOffset(4, "g", "t", 0, 20), 0)
	close(request.goOn)
	if outcome := <-request.outcomes; !errors.Is(outcome.Err, metastore.ErrTxnMoved) {
		t.Errorf("outcome %+v", outcome)
	}
	equal(t, "commit", p.end(4, true), 0)
	equal(t, "state", other.txn("id").State, metastore.TxnCompleteCommit)
	offset, _ := h.position("g", "t", 0, true)
	equal(t, "position", offset, 20)
}

// TestARequestThatWasUnderWayForLongIsNotDecidedAnew, although its connection seems to be there: nothing may come over it any more,
// not even its end.
func TestARequestThatWasUnderWayForLongIsNotDecidedAnew(t *testing.T) {
	for _, long := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			h := newRecordBroker(t, nil)
			p := h.txnClient("id")
			add := func(t metastore.Transaction) (metastore.TxnRequest, error) {
				return metastore.AddToTxn{ID: "id", Producer: p.producer, Epoch: p.epoch, Groups: []string{"g"}, Number: t.Number}, nil
			}
			request, outcome := h.withDelays(t).hold(), make(chan error, 1)
			go func() {
				_, err := h.broker.transact(t.Context(), "id", add)
				outcome <- err
			}()
			<-request.waits
			if long {
				time.Sleep(longestAsked + time.Second)
			}
			_, err := h.broker.transact(t.Context(), "id", add) // on another connection
			must(t, err)
			known, _ := h.replica.Transaction("id")
			equal(t, "end", h.decide(metastore.EndTxn{ID: "id", Producer: p.producer, Epoch: p.epoch, Commit: true, Version: 1, Number: known.Number}).Err, nil)
			close(request.goOn)
			err = <-outcome
			known, _ = h.replica.Transaction("id")
			if begun := known.State == metastore.TxnOngoing; begun == long || (err != nil) != long {
				t.Errorf("under way for long: %v; answered %v, the next transaction is %v", long, err, known.State)
			}
			if long {
				equal(t, "answer", code(err), kerr.CoordinatorNotAvailable.Code)
			}
		})
	}
}

// TestAnInitThatIsLateFencesNobody: its producer was answered by another broker meanwhile, and has begun.
func TestAnInitThatIsLateFencesNobody(t *testing.T) {
	h := newHarness(t, nil, 0)
	h.topic("t", 1, 1)
	p := h.transactional("id")
	request := h.withDelays(t).hold()
	paused := h.another()
	init := kmsg.NewPtrInitProducerIDRequest()
	init.TransactionalID, init.TransactionTimeoutMillis = &p.id, 60_000
	paused.send(4, init)
	<-request.waits
	must(t, paused.conn.Close())
	<-request.gone
	p = h.transactional("id")
	equal(t, "begin", p.addOffsets(4, "g"), 0)
	close(request.goOn)
	if outcome := <-request.outcomes; !errors.Is(outcome.Err, metastore.ErrTxnMoved) {
		t.Errorf("outcome %+v", outcome)
	}
	equal(t, "commit", p.end(4, true), 0)
}

func TestABrokerThatIsBehindDecidesForTheProducerThatWaits(t *testing.T) {
	h := newHarness(t, nil, 0)
	h.topic("t", 1, 1)
	other := h.otherBroker()
	p := h.transactional("id")
	equal(t, "begin", p.addOffsets(4, "g"), 0)
	behind := func(version int8) {
		other.end(p, version)
		other.begin(p)
	}
	behind(1)
	equal(t, "add partitions", p.add(3, "t", 0)[0], 0)
	equal(t, "partitions", len(other.txn("id").Partitions), 1)
	behind(1)
	equal(t, "commit offsets", p.commitOffset(4, "g", "t", 0, 7), 0)
	behind(1)
	equal(t, "commit, first answer", p.end(4, true), kerr.CoordinatorLoadInProgress.Code)
	equal(t, "state", other.txn("id").State, metastore.TxnOngoing)
	equal(t, "commit, asked again", p.end(4, true), 0)
	equal(t, "state", other.txn("id").State, metastore.TxnCompleteCommit)
	other.begin(p)
	behind(2)
	equal(t, "commit at the next epoch", p.end(5, true), 0)
	equal(t, "state", other.txn("id").State, metastore.TxnCompleteCommit)
}

// TestACommitIsNotTakenForTheOneBefore: the broker has not heard that another transaction began, and would say that it is
// committed already.
func TestACommitIsNotTakenForTheOneBefore(t *testing.T) {
	h := newHarness(t, nil, 0)
	h.topic("t", 1, 1)
	other := h.otherBroker()
	p := h.transactional("id")
	equal(t, "begin", p.addOffsets(4, "g"), 0)
	equal(t, "commit", p.end(4, true), 0)
	other.begin(p)
	equal(t, "commit, second", p.end(4, true), 0)
	equal(t, "state", other.txn("id").State, metastore.TxnCompleteCommit)
	equal(t, "transactions", other.txn("id").Number, 2)
}

func TestARequestWhoseAnswerWasLostIsAnsweredWhenItIsAskedAgain(t *testing.T) {
	h := newHarness(t, nil, 0)
	h.topic("t", 1, 1)
	lost := errors.New("connection reset")
	delays := h.withDelays(t)
	twice := func(what string, ask func() int16) {
		t.Helper()
		delays.lose(lost)
		equal(t, what+": lost", ask(), kerr.CoordinatorNotAvailable.Code)
		delays.lose(nil)
		equal(t, what+": again", ask(), 0)
	}
	for _, v := range []int16{4, 5} {
		p := h.transactional("id")
		for _, commit := range []bool{true, false} {
			twice("add", func() int16 { return p.add(3, "t", 0)[0] })
			twice("add offsets", func() int16 { return p.addOffsets(3, "g") })
			twice("commit offsets", func() int16 { return p.commitOffset(v, "g", "t", 0, int64(v)) })
			before := h.txn("id").Number
			epoch := p.epoch
			twice("end", func() int16 { return p.end(v, commit) })
			equal(t, "transactions that ended", h.txn("id").Number, before+1)
			if v == 5 {
				equal(t, "epoch", p.epoch, epoch+1)
			}
		}
		offset, _ := h.position("g", "t", 0, true)
		equal(t, "position", offset, int64(v))
	}
	twice("init", func() int16 { return ask[*kmsg.InitProducerIDResponse](h, 5, initRequest("id", 1000)).ErrorCode })
}
