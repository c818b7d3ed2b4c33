package quota

import (
	"cmp"
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"time"
)

// Quotas of a cluster: brokers tell each other once a second what each account would take of them, and each grants the
// part of the quota that its own demand has. What is told is up to a second old, so that sums of parts are a little more or
// less than the quota while demands change.

// share is what an account would take of this broker, as of the last report. Guarded by account.mu.
type share struct {
	demand  float64   // per second
	refused time.Time // when it last took less than it would have
}

// accountID names an account to other brokers.
type accountID struct {
	kind Kind
	key  key
}

// others is what the other brokers told, summed up.
type others struct {
	count   int
	demands map[accountID]float64
}

// Floor is the least part that a broker grants, of an equal part: a client that moves there finds room at once. Sums of
// parts exceed the quota by no more than it.
const Floor = 0.1

// Granted is the part of a quota that one of n brokers grants, by its own demand and that of all others together.
func Granted(own, theirs float64, n int) float64 {
	equal := 1 / float64(max(n, 1))
	if own+theirs <= 0 {
		return equal
	}
	return min(max(own/(own+theirs), Floor*equal), 1)
}

// granted is the limit on this broker. Caller holds the account's mu.
func (m Meter) granted() float64 {
	if !m.limiter.opts.Shared {
		return m.limit
	}
	o := m.limiter.others.Load()
	if o == nil || o.count == 0 {
		return m.limit
	}
	return m.limit * Granted(m.account.share.demand, o.demands[accountID{m.kind, m.account.key}], o.count+1)
}

// lasting is what is left of a demand after a second without one.
const lasting = 0.8

// Bounds of a report.
const (
	MaxReportBytes = 1 << 20
	reportVersion  = 1
)

// Report tells what accounts would take of this broker, the greatest demands first if there are too many. It is called
// once a second: demands grow with each call while clients are refused.
func (l *Limiter) Report(now time.Time) []byte {
	type row struct {
		id     accountID
		demand float64
	}
	var rows []row
	index := l.Index()
	for kind := range Connection {
		w := l.window(kind)
		l.tables[kind].each(func(k key, a *account) {
			limit, account, ok := index.limit(kind, Client{k.user, k.client})
			if !ok || account != k { // of a quota that is not there any more
				return
			}
			a.mu.Lock()
			defer a.mu.Unlock()
			sum, over := a.rate.measure(w, limit, now)
			// Who was told to wait takes nothing for a while, and is not gone.
			demand := min(max(max(sum, 0)/over.Seconds(), a.share.demand*lasting), limit)
			if now.Sub(a.share.refused) < w.span() { // how much it wants cannot be seen: more than it had
				demand = min(max(demand, 2*a.share.demand, limit*Floor/10), limit)
			}
			if demand < limit/1000 {
				demand = 0
			}
			a.share.demand = demand
			if demand > 0 {
				rows = append(rows, row{accountID{kind, k}, demand})
			}
		})
	}
	slices.SortFunc(rows, func(a, b row) int { return cmp.Compare(b.demand, a.demand) })
	report := []byte{reportVersion}
	for _, r := range rows {
		k := r.id.key
		if len(report)+len(k.user)+len(k.client)+32 > MaxReportBytes {
			break
		}
		report = append(report, byte(r.id.kind), byte(k.level))
		report = appendText(report, k.user)
		report = appendText(report, k.client)
		report = binary.BigEndian.AppendUint64(report, math.Float64bits(r.demand))
	}
	return report
}

// Hear takes the latest reports of the other brokers that answer. ErrReport: some were not understood, and are left out.
func (l *Limiter) Hear(reports [][]byte) error {
	o := &others{demands: make(map[accountID]float64)}
	var failed error
	for _, report := range reports {
		demands, err := decodeReport(report)
		if err != nil {
			failed = err
			continue
		}
		o.count++
		for id, demand := range demands {
			o.demands[id] += demand
		}
	}
	l.others.Store(o)
	return failed
}

// ErrReport is a report that cannot be read.
var ErrReport = errors.New("corrupt report of quotas")

func decodeReport(b []byte) (map[accountID]float64, error) {
	if len(b) == 0 || len(b) > MaxReportBytes || b[0] != reportVersion {
		return nil, ErrReport
	}
	b = b[1:]
	demands := make(map[accountID]float64)
	for len(b) > 0 {
		if len(b) < 2 || Kind(b[0]) >= Connection || level(b[1]) >= levels {
			return nil, ErrReport
		}
		id := accountID{kind: Kind(b[0]), key: key{level: level(b[1])}}
		b = b[2:]
		var ok bool
		if id.key.user, b, ok = takeText(b); !ok {
			return nil, ErrReport
		}
		if id.key.client, b, ok = takeText(b); !ok || len(b) < 8 {
			return nil, ErrReport
		}
		demand := math.Float64frombits(binary.BigEndian.Uint64(b))
		if !(demand >= 0) || math.IsInf(demand, 1) {
			return nil, ErrReport
		}
		demands[id] = demand
		b = b[8:]
	}
	return demands, nil
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func takeText(b []byte) (s string, rest []byte, ok bool) {
	n, size := binary.Uvarint(b)
	if size <= 0 || n > uint64(len(b)-size) {
		return "", nil, false
	}
	return string(b[size : size+int(n)]), b[size+int(n):], true
}
