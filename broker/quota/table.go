package quota

import (
	"hash/maphash"
	"sync"
	"time"
)

const tableShards = 16

// table holds the accounts of a kind. It is in parts, so that clients seldom wait for each other.
type table struct {
	seed   maphash.Seed
	shards [tableShards]shard
}

type shard struct {
	mu       sync.Mutex
	accounts map[key]*account
	most     int
	sweepAt  int       // accounts at which it is looked for idle ones
	swept    time.Time // last
	rest     *account  // of those for which there is no place
}

func newTable(most int) *table {
	t := &table{seed: maphash.MakeSeed()}
	for i := range t.shards {
		t.shards[i] = shard{accounts: make(map[key]*account), most: max(most/tableShards, 1), sweepAt: leastSweep}
	}
	return t
}

// leastSweep is how many accounts a shard has before it is looked for idle ones at all.
const leastSweep = 64

// account finds or makes an account. Those that were not used for as long as idle make way: throttles are shorter.
func (t *table) account(k key, now time.Time, idle time.Duration) *account {
	s := &t.shards[maphash.Comparable(t.seed, k)%tableShards]
	s.mu.Lock()
	defer s.mu.Unlock()
	if a, ok := s.accounts[k]; ok {
		return a
	}
	if len(s.accounts) >= min(s.sweepAt, s.most) {
		s.sweep(now, idle)
	}
	if len(s.accounts) >= s.most {
		if s.rest == nil {
			s.rest = &account{key: key{level: levels}} // of no level that is told to others
		}
		return s.rest
	}
	a := &account{used: now, key: k}
	s.accounts[k] = a
	return a
}

// sweep forgets idle accounts, at most once a second: to look at all of them is too much for every new one. Caller holds mu.
func (s *shard) sweep(now time.Time, idle time.Duration) {
	if now.Sub(s.swept) < time.Second && !s.swept.IsZero() {
		return
	}
	s.swept = now
	for k, a := range s.accounts {
		a.mu.Lock()
		gone := now.Sub(a.used) >= idle
		a.mu.Unlock()
		if gone {
			delete(s.accounts, k)
		}
	}
	s.sweepAt = max(leastSweep, 2*len(s.accounts))
}

// each calls f for all accounts that have a key.
func (t *table) each(f func(key, *account)) {
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		for k, a := range s.accounts {
			f(k, a)
		}
		s.mu.Unlock()
	}
}

func (t *table) len() (n int) {
	for i := range t.shards {
		t.shards[i].mu.Lock()
		n += len(t.shards[i].accounts)
		t.shards[i].mu.Unlock()
	}
	return n
}
