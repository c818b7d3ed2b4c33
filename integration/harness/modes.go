package harness

import "testing"

// Mode is one way to run the product.
type Mode struct {
	Name string
	// Start starts one broker and waits until it is ready.
	Start func(t testing.TB) *Broker
	// Durable: what was acknowledged survives the process.
	Durable bool
}

// Modes are the ways to run the product.
var Modes = []Mode{
	{Name: "embedded", Start: func(t testing.TB) *Broker {
		return Dev(t, DevOptions{})
	}},
	{Name: "embedded on disk", Durable: true, Start: func(t testing.TB) *Broker {
		return Dev(t, DevOptions{Data: t.TempDir()})
	}},
	{Name: "distributed", Durable: true, Start: func(t testing.TB) *Broker {
		b := Node(t, NewStores(t), NodeOptions{})
		b.Restart()
		return b
	}},
}
