package metastore

import "testing"

func TestListenerOfABroker(t *testing.T) {
	old := Broker{Host: "h", Port: 1}
	named := Broker{Host: "h", Port: 1, Listeners: []Listener{{"A", "h", 1, "SSL"}, {"B", "g", 2, "SASL_SSL"}}}
	for _, tt := range []struct {
		broker *Broker
		name   string
		want   Listener
		ok     bool
	}{
		{&old, "PLAINTEXT", Listener{"PLAINTEXT", "h", 1, "PLAINTEXT"}, true},
		{&old, "A", Listener{}, false},
		{&named, "A", Listener{"A", "h", 1, "SSL"}, true},
		{&named, "B", Listener{"B", "g", 2, "SASL_SSL"}, true},
		{&named, "b", Listener{}, false},
		{&named, "PLAINTEXT", Listener{}, false},
	} {
		if got, ok := tt.broker.Listener(tt.name); ok != tt.ok || ok && got != tt.want {
			t.Errorf("%s of %v: %v, %v", tt.name, tt.broker.Listeners, got, ok)
		}
	}
}
