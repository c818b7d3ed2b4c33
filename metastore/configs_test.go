package metastore

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"strings"
	"testing"
)

func TestConfigsAreFoldedInTheOrderOfTheirEntries(t *testing.T) {
	s := NewState()
	fold := func(changes ...ConfigChange) {
		s.apply(Position{Seq: s.at.Seq + 1}, record{change: alterConfigs{changes}}, func(TopicPartition) {})
	}
	all, third := ConfigResource{BrokerConfig, ""}, ConfigResource{BrokerConfig, "3"}
	fold(ConfigChange{all, map[string]string{"a": "1", "b": "2"}, nil}, ConfigChange{third, map[string]string{"a": "3"}, nil})
	before := s.configs
	fold(ConfigChange{all, map[string]string{"b": "4"}, []string{"a", "never set"}})
	want := map[ConfigResource]map[string]string{all: {"b": "4"}, third: {"a": "3"}}
	if got := describe(t, s).Configs; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if !maps.Equal(before.on(all), map[string]string{"a": "1", "b": "2"}) {
		t.Errorf("a view from before the change has changed: %v", before.on(all))
	}
	fold(ConfigChange{all, nil, []string{"b"}}, ConfigChange{third, nil, []string{"a"}})
	if !s.configs.empty() || s.configs.size() != 0 {
		t.Errorf("left over: %+v", s.configs)
	}
	if version := s.clone().encode()[0]; version != plainSnapshot {
		t.Errorf("a snapshot without overrides has version %d, which older brokers do not read", version)
	}
}

func TestConfigsThatAreSetAlreadyMakeNoEntry(t *testing.T) {
	s := NewState()
	of := ConfigResource{GroupConfig, "g"}
	c, err := s.decideConfigs([]ConfigChange{{of, map[string]string{"a": "1"}, []string{"b"}}})
	want := alterConfigs{[]ConfigChange{{of, map[string]string{"a": "1"}, nil}}}
	if err != nil || !reflect.DeepEqual(c, change(want)) {
		t.Errorf("decided %+v (%v), want %+v", c, err, want)
	}
	s.apply(Position{Seq: 1}, record{change: c}, func(TopicPartition) {})
	if c, err = s.decideConfigs([]ConfigChange{{of, map[string]string{"a": "1"}, []string{"b"}}}); c != nil || err != nil {
		t.Errorf("the same again: %+v (%v)", c, err)
	}
}

func TestConfigsAreBounded(t *testing.T) {
	full := NewState()
	var many []ConfigChange
	for i := range MaxConfigResources {
		many = append(many, ConfigChange{ConfigResource{GroupConfig, fmt.Sprint(i)}, map[string]string{"a": "1"}, nil})
	}
	c, err := full.decideConfigs(many)
	if err != nil {
		t.Fatal(err)
	}
	full.apply(Position{Seq: 1}, record{change: c}, func(TopicPartition) {})
	large := NewState()
	if c, err = large.decideConfigs([]ConfigChange{{ConfigResource{BrokerConfig, ""}, map[string]string{"a": strings.Repeat("x", MaxConfigBytes-1)}, nil}}); err != nil {
		t.Fatal(err)
	}
	large.apply(Position{Seq: 1}, record{change: c}, func(TopicPartition) {})
	for name, s := range map[string]*State{"resources": full, "bytes": large} {
		if c, err := s.decideConfigs([]ConfigChange{{ConfigResource{GroupConfig, "one more"}, map[string]string{"a": "1"}, nil}}); c != nil || !errors.Is(err, ErrTooManyConfigs) {
			t.Errorf("%s: one more than allowed: %+v, %v", name, c, err)
		}
		for _, of := range []ConfigResource{{GroupConfig, "7"}, {BrokerConfig, ""}} {
			if _, err := s.decideConfigs([]ConfigChange{{of, nil, []string{"a"}}}); err != nil {
				t.Errorf("%s: what is too large cannot be made smaller: %v", name, err)
			}
		}
	}
}

// Who may not get in because somebody has set many quotas would be locked out by others.
func TestEachKindOfConfigsHasBoundsOfItsOwn(t *testing.T) {
	s := NewState()
	fill := func(kind ConfigKind, bytes int) error {
		c, err := s.decideConfigs([]ConfigChange{{ConfigResource{kind, "r"}, map[string]string{"a": strings.Repeat("x", bytes-2)}, nil}})
		if err == nil {
			s.apply(Position{Seq: s.at.Seq + 1}, record{change: c}, func(TopicPartition) {})
		}
		return err
	}
	for kind, most := range map[ConfigKind]int{AccessRules: MaxAccessRuleBytes, Credentials: MaxCredentialBytes, ClientQuotas: MaxClientQuotaBytes, GroupConfig: MaxConfigBytes} {
		if err := fill(kind, most+1); !errors.Is(err, ErrTooManyConfigs) {
			t.Errorf("kind %d, a byte too many: %v", kind, err)
		}
		if err := fill(kind, most); err != nil {
			t.Errorf("kind %d, as much as is allowed: %v", kind, err)
		}
	}
}

// Whoever makes something of the overrides of a kind does so again when the pointer has changed, and only then.
func TestOverridesOfAKindAreTheSameUntilOneChanges(t *testing.T) {
	s := NewState()
	alter := func(kind ConfigKind, value string) {
		s.apply(Position{Seq: s.at.Seq + 1}, record{change: alterConfigs{[]ConfigChange{{ConfigResource{kind, "r"}, map[string]string{"a": value}, nil}}}}, func(TopicPartition) {})
	}
	alter(AccessRules, "1")
	rules := s.configs.kind(AccessRules)
	alter(ClientQuotas, "1")
	if s.configs.kind(AccessRules) != rules {
		t.Error("rules changed with quotas")
	}
	alter(AccessRules, "2")
	if s.configs.kind(AccessRules) == rules || rules.On("r")["a"] != "1" {
		t.Error("a set that was handed out has changed")
	}
}

func TestNewConfigsLeaveWhatIsThere(t *testing.T) {
	s, of := NewState(), ConfigResource{Credentials, "u"}
	for _, name := range []string{"first", "second"} {
		c, err := s.decideNewConfigs(of, map[string]string{name: "1"})
		if err != nil {
			t.Fatal(err)
		}
		if c != nil {
			s.apply(Position{Seq: s.at.Seq + 1}, record{change: c}, func(TopicPartition) {})
		}
	}
	if is := s.configs.on(of); len(is) != 1 || is["first"] != "1" {
		t.Errorf("%v", is)
	}
}
