package faults

import (
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"
)

var shape = Shape{Duration: time.Minute, Brokers: 3, Clients: 4}

func draw(seed uint64, s Shape) []Fault { return Plan(rand.New(rand.NewPCG(seed, 0)), s) }

func TestPlanFollowsFromItsSeed(t *testing.T) {
	texts := map[string]uint64{}
	for seed := range uint64(200) {
		plan := draw(seed, shape)
		if again := draw(seed, shape); !reflect.DeepEqual(plan, again) {
			t.Fatalf("seed %d\n%s\nand then\n%s", seed, Text(plan), Text(again))
		}
		if len(plan) > 0 {
			if other, ok := texts[Text(plan)]; ok {
				t.Errorf("seeds %d and %d have the same plan", seed, other)
			}
			texts[Text(plan)] = seed
		}
	}
}

func TestEveryKindComesInTwoHundredPlans(t *testing.T) {
	came, most, bursts := map[Kind]int{}, 0, 0
	for seed := range uint64(200) {
		plan := draw(seed, shape)
		most = max(most, len(plan))
		for i := range plan {
			came[plan[i].Kind]++
			if i >= 2 && plan[i].Begin-plan[i-2].Begin < 300*time.Millisecond {
				bursts++
			}
		}
	}
	for _, kind := range Kinds() {
		if came[kind] < 5 {
			t.Errorf("%s came %d times", kind, came[kind])
		}
	}
	if len(came) != len(Kinds()) || most < 30 || bursts < 200 {
		t.Errorf("%d kinds, %d faults at most, %d bursts", len(came), most, bursts)
	}
}

func TestPlansKeepToTheirBounds(t *testing.T) {
	for seed := range uint64(500) {
		s := Shape{Duration: time.Duration(1+seed%90) * time.Second, Brokers: 1 + int(seed%5), Clients: int(seed % 3)}
		plan := draw(seed, s)
		for i := range plan {
			f := &plan[i]
			m := measures[f.Kind]
			switch {
			case f.Number != i+1, i > 0 && f.Begin < plan[i-1].Begin:
				t.Errorf("seed %d: out of order: %s", seed, f)
			case f.Begin < 0, f.Length < m.least, f.Length > m.most, f.End() > s.Duration:
				t.Errorf("seed %d: out of bounds: %s", seed, f)
			case f.Jump.Abs() > mostAhead, (f.Jump != 0) != (f.Kind == ClockJump):
				t.Errorf("seed %d: jumps: %s", seed, f)
			case len(f.Brokers) > 0 && (slices.Min(f.Brokers) < 0 || slices.Max(f.Brokers) >= s.Brokers || !slices.IsSorted(f.Brokers)):
				t.Errorf("seed %d: of brokers that there are not: %s", seed, f)
			case f.A == f.B && f.A != "":
				t.Errorf("seed %d: between one: %s", seed, f)
			}
			for j := range plan[:i] {
				if g := &plan[j]; exclude(f, g) && f.Begin < g.End()+recovery {
					t.Errorf("seed %d: %s overlaps %s", seed, f, g)
				}
			}
		}
	}
}

// exclude tells whether two faults must not overlap.
func exclude(f, g *Fault) bool {
	if f.Kind == ClockJump || g.Kind == ClockJump {
		return f.Kind == g.Kind
	}
	same := slices.ContainsFunc(f.Brokers, func(b int) bool { return slices.Contains(g.Brokers, b) })
	return same && takesAway(f.Kind) && takesAway(g.Kind)
}

func TestPlanOfSomeKinds(t *testing.T) {
	s := shape
	s.Kinds = []Kind{CommitLate, Crash}
	came := map[Kind]bool{}
	for seed := range uint64(20) {
		for _, f := range draw(seed, s) {
			came[f.Kind] = true
		}
	}
	if len(came) != 2 || !came[CommitLate] || !came[Crash] {
		t.Errorf("came: %v", came)
	}
}

func TestFaultsCanBeRead(t *testing.T) {
	f := Fault{
		Number: 7, Kind: CommitLate, Begin: 2 * time.Second, Length: time.Second, Brokers: []int{0, 2}, OneOf: 3, Delay: MostLate, Hang: true,
	}
	if want := "commit-late #7 of brokers [0 2], one of 3 calls, by up to 30s, hanging, from 2s to 3s"; f.String() != want {
		t.Errorf("got %q, want %q", f.String(), want)
	}
	f = Fault{Number: 1, Kind: OneWay, Length: time.Second, A: BrokerParty(1), B: ClientParty(0)}
	if want := "one-way #1 from broker-1 to client-0, from 0s to 1s"; f.String() != want {
		t.Errorf("got %q, want %q", f.String(), want)
	}
}
