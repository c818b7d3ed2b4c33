package metastore

import (
	"encoding/binary"
	"math"
	"slices"
)

// txnErrors are the errors that a result may hold, by their code in all formats. The numbers stay.
var txnErrors = []error{
	nil, ErrTxnFenced, ErrTxnMapping, ErrTxnState, ErrTxnMoved, ErrTxnTooLarge, ErrTxnExhausted, ErrUnknownPartition, ErrFenced,
}

func refusedTxn(err error) TxnResult { return TxnResult{Producer: NoProducerID, Epoch: -1, Err: err} }

// appendTxnResults writes a list of results: byte code of the error, and the producer where there is none.
func appendTxnResults(b []byte, results []TxnResult) []byte {
	b = binary.AppendUvarint(b, uint64(len(results)))
	for i := range results {
		x := &results[i]
		b = append(b, byte(slices.Index(txnErrors, x.Err)))
		if x.Err == nil {
			b = binary.AppendVarint(b, int64(x.Producer))
			b = binary.AppendVarint(b, int64(x.Epoch))
		}
	}
	return b
}

func decodeTxnResults(d *decoder) []TxnResult {
	results := make([]TxnResult, d.count(1, "results"))
	for i := range results {
		code := d.byte()
		if int(code) >= len(txnErrors) {
			d.fail("error code")
			break
		}
		if results[i] = refusedTxn(txnErrors[code]); code != 0 {
			continue
		}
		results[i].Producer = ProducerID(d.within(int64(NoProducerID), math.MaxInt64, "producer id"))
		results[i].Epoch = ProducerEpoch(d.within(-1, math.MaxInt16, "producer epoch"))
	}
	return results
}
