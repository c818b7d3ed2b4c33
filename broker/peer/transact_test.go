package peer

import (
	"errors"
	"net/http"
	"testing"

	"github.com/runnel-io/runnel/metastore"
)

func TestTransact(t *testing.T) {
	b := new(backend)
	address := serve(t, shared(t), b)
	client := NewClient(shared(t), inCluster("one"), ClientOptions{})
	defer client.Close()
	requests := []metastore.TxnRequest{
		metastore.EndTxn{ID: "a", Producer: 7, Epoch: 3, Commit: true, Version: 2, Fresh: metastore.NoProducerID},
		metastore.AbortTxn{ID: "b", Number: 4},
	}
	through, results, err := client.Transact(t.Context(), address, requests)
	if err != nil {
		t.Fatal(err)
	}
	if through != 6 || len(results) != 2 || results[0] != (metastore.TxnResult{Producer: 7, Epoch: 4}) || !errors.Is(results[1].Err, metastore.ErrTxnMoved) {
		t.Errorf("through %d: %+v", through, results)
	}
	b.err = errors.New("too many wait")
	if _, _, err := client.Transact(t.Context(), address, requests); !errors.Is(err, errNotNow) || errors.Is(err, metastore.ErrNewerFormat) {
		t.Errorf("a broker that cannot now: %v", err)
	}
}

func TestABrokerThatDoesNotKnowOfTransactionsSaysSo(t *testing.T) {
	address := serve(t, shared(t), new(backend))
	client := NewClient(shared(t), inCluster("one"), ClientOptions{})
	defer client.Close()
	for name, ask := range map[string]func() error{
		"the request": func() error { _, err := client.post(t.Context(), address, "/v1/later", nil); return err },
		"its version": func() error { _, err := client.post(t.Context(), address, transactPath, []byte{200}); return err },
	} {
		if err := ask(); !errors.Is(err, metastore.ErrNewerFormat) || !errors.Is(err, ErrRefused) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := client.post(t.Context(), address, transactPath, []byte{}); !errors.Is(err, ErrRefused) || errors.Is(err, metastore.ErrNewerFormat) {
		t.Errorf("nonsense: %v", err)
	}
	res, err := client.send(t.Context(), http.MethodGet, address, pingPath, nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
}
