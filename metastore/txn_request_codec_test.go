package metastore

import (
	"bytes"
	"errors"
	"reflect"
	"testing"
	"time"
)

func goldenTxnRequests() []TxnRequest {
	return []TxnRequest{
		InitTxn{ID: "app", Timeout: time.Minute, Producer: NoProducerID, Epoch: -1, Fresh: 3000},
		AddToTxn{ID: "app", Producer: 4, Epoch: 1, Partitions: []TopicPartition{{TopicID{9}, 3}, {TopicID{8}, 0}}, Groups: []string{"g"}, Number: 7},
		CommitTxnOffsets{ID: "app", Producer: 4, Epoch: 1, Group: "g", Claim: 12, Implicit: true, Number: 7, Offsets: []CommittedOffset{
			{TopicPartition: TopicPartition{TopicID{9}, 3}, TopicName: "orders", Offset: 40, LeaderEpoch: -1, Metadata: "m", CommittedAt: time.UnixMilli(1_760_000_000_000)},
		}},
		EndTxn{ID: "app", Producer: 4, Epoch: 1, Commit: true, Version: 2, Number: 7, Fresh: NoProducerID},
		AbortTxn{ID: "app", Number: 7},
		ForgetTxn{ID: "app", Epoch: 2, Number: 8},
	}
}

// txnRequestsAsOf are those that may have a position, with one.
func txnRequestsAsOf() []TxnRequest {
	all := goldenTxnRequests()
	init, offsets := all[0].(InitTxn), all[2].(CommitTxnOffsets)
	init.AsOf, offsets.AsOf = 500, 501
	return []TxnRequest{init, offsets}
}

func goldenTxnResults() []TxnResult {
	results := []TxnResult{{Producer: 4, Epoch: 2}}
	for _, err := range txnErrors {
		results = append(results, refusedTxn(err))
	}
	return results
}

func TestTransactionRequestsMatchTheirGoldenFiles(t *testing.T) {
	requests := AppendTxnRequests(nil, goldenTxnRequests())
	if want := golden(t, "txn_requests.v1", requests); !bytes.Equal(requests, want) {
		t.Errorf("requests\n%x\nwant\n%x", requests, want)
	}
	if got, err := DecodeTxnRequests(requests); err != nil || !reflect.DeepEqual(got, goldenTxnRequests()) {
		t.Errorf("requests came back as %+v (%v)", got, err)
	}
	asOf := AppendTxnRequests(nil, txnRequestsAsOf())
	if want := golden(t, "txn_requests_as_of.v1", asOf); !bytes.Equal(asOf, want) {
		t.Errorf("requests with a position\n%x\nwant\n%x", asOf, want)
	}
	if got, err := DecodeTxnRequests(asOf); err != nil || !reflect.DeepEqual(got, txnRequestsAsOf()) {
		t.Errorf("requests with a position came back as %+v (%v)", got, err)
	}
	results := AppendTxnResults(nil, 77, goldenTxnResults())
	if want := golden(t, "txn_results.v1", results); !bytes.Equal(results, want) {
		t.Errorf("results\n%x\nwant\n%x", results, want)
	}
	through, got, err := DecodeTxnResults(results)
	if err != nil || through != 77 || !reflect.DeepEqual(got, goldenTxnResults()) {
		t.Errorf("results came back as %d, %+v (%v)", through, got, err)
	}
}

func TestTransactionRequestsThatAreCutOrNewerAreRefused(t *testing.T) {
	requests, results := AppendTxnRequests(nil, goldenTxnRequests()), AppendTxnResults(nil, 77, goldenTxnResults())
	for n := range requests {
		if _, err := DecodeTxnRequests(requests[:n]); !errors.Is(err, ErrCorrupt) {
			t.Errorf("requests cut to %d bytes: %v", n, err)
		}
	}
	for n := range results {
		if _, _, err := DecodeTxnResults(results[:n]); !errors.Is(err, ErrCorrupt) {
			t.Errorf("results cut to %d bytes: %v", n, err)
		}
	}
	if _, err := DecodeTxnRequests([]byte{txnRequestVersion, 1, requestOffsetsAsOf + 1, 0, 0}); !errors.Is(err, ErrNewerFormat) {
		t.Errorf("request of a kind to come: %v", err)
	}
	requests[0], results[0] = txnRequestVersion+1, txnRequestVersion+1
	if _, err := DecodeTxnRequests(requests); !errors.Is(err, ErrNewerFormat) {
		t.Errorf("newer requests: %v", err)
	}
	if _, _, err := DecodeTxnResults(results); !errors.Is(err, ErrNewerFormat) {
		t.Errorf("newer results: %v", err)
	}
}

func FuzzDecodeTxnRequests(f *testing.F) {
	f.Add(AppendTxnRequests(nil, goldenTxnRequests()))
	f.Add(AppendTxnRequests(nil, txnRequestsAsOf()))
	f.Fuzz(func(t *testing.T, b []byte) {
		requests, err := DecodeTxnRequests(b)
		if err != nil {
			return
		}
		again, err := DecodeTxnRequests(AppendTxnRequests(nil, requests))
		if err != nil || !reflect.DeepEqual(again, requests) {
			t.Errorf("%+v came back as %+v (%v)", requests, again, err)
		}
	})
}

func FuzzDecodeTxnResults(f *testing.F) {
	f.Add(AppendTxnResults(nil, 77, goldenTxnResults()))
	f.Fuzz(func(t *testing.T, b []byte) {
		through, results, err := DecodeTxnResults(b)
		if err != nil {
			return
		}
		again, same, err := DecodeTxnResults(AppendTxnResults(nil, through, results))
		if err != nil || again != through || !reflect.DeepEqual(same, results) {
			t.Errorf("%d, %+v came back as %d, %+v (%v)", through, results, again, same, err)
		}
	})
}
