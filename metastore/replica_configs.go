package metastore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
)

// Bounds of the overrides of brokers, groups and metrics subscriptions together. All brokers hold overrides in memory, and
// copy those of a kind when one of them changes.
const (
	MaxConfigResources = 10_000
	MaxConfigBytes     = 1 << 20 // of all names and values
)

// Bounds of what says who gets in and how much they may take, each for itself.
const (
	MaxAccessRules      = 100_000 // resource patterns that have ACLs
	MaxAccessRuleBytes  = 32 << 20
	MaxCredentials      = 100_000 // users
	MaxCredentialBytes  = 64 << 20
	MaxClientQuotas     = 100_000 // entities
	MaxClientQuotaBytes = 16 << 20
)

// limits are bounds of kinds of overrides that are counted together.
var limits = []struct {
	kinds            []ConfigKind
	resources, bytes int
}{
	{[]ConfigKind{AccessRules}, MaxAccessRules, MaxAccessRuleBytes},
	{[]ConfigKind{Credentials}, MaxCredentials, MaxCredentialBytes},
	{[]ConfigKind{ClientQuotas}, MaxClientQuotas, MaxClientQuotaBytes},
	{[]ConfigKind{BrokerConfig, ClientMetricsConfig, GroupConfig}, MaxConfigResources, MaxConfigBytes},
}

// ErrTooManyConfigs: the overrides would exceed a bound.
var ErrTooManyConfigs = errors.New("too many or too large dynamic configs")

// AlterConfigs sets and removes overrides, all or none of the changes; the
// caller has validated them. When it returns nil they are durable, and visible in Configs. ErrTooManyConfigs.
func (r *Replica) AlterConfigs(ctx context.Context, changes []ConfigChange) error {
	_, err := r.propose(ctx, alone(func(s *State) (change, error) { return s.decideConfigs(changes) }))
	return err
}

// CreateConfigs is AlterConfigs for a resource that has no overrides when the change is made: others stay as they are.
func (r *Replica) CreateConfigs(ctx context.Context, of ConfigResource, set map[string]string) error {
	_, err := r.propose(ctx, alone(func(s *State) (change, error) { return s.decideNewConfigs(of, set) }))
	return err
}

func (s *State) decideNewConfigs(of ConfigResource, set map[string]string) (change, error) {
	if len(s.configs.on(of)) > 0 {
		return nil, nil
	}
	return s.decideConfigs([]ConfigChange{{ConfigResource: of, Set: set}})
}

// decideConfigs leaves out what is so already: tools set again what is set.
func (s *State) decideConfigs(changes []ConfigChange) (change, error) {
	var made alterConfigs
	for _, c := range changes {
		is := s.configs.on(c.ConfigResource)
		left := ConfigChange{ConfigResource: c.ConfigResource}
		for name, value := range c.Set {
			if now, ok := is[name]; !ok || now != value {
				if left.Set == nil {
					left.Set = make(map[string]string)
				}
				left.Set[name] = value
			}
		}
		for _, name := range c.Unset {
			if _, ok := is[name]; ok {
				left.Unset = append(left.Unset, name)
			}
		}
		if left.Set != nil || left.Unset != nil {
			made.changes = append(made.changes, left)
		}
	}
	if made.changes == nil {
		return nil, nil
	}
	if err := s.configs.bounded(s.configs.with(made.changes)); err != nil {
		return nil, err
	}
	return made, nil
}

// bounded refuses what would come after o if it is too much and more than o.
func (o *configOverrides) bounded(after *configOverrides) error {
	for _, limit := range limits {
		resources, bytes, before := 0, 0, 0
		for _, kind := range limit.kinds {
			resources += after.kind(kind).Len()
			bytes += after.kind(kind).size()
			before += o.kind(kind).size()
		}
		if bytes > before && (resources > limit.resources || bytes > limit.bytes) {
			return fmt.Errorf("%w: %d resources with %d bytes, allowed are %d with %d", ErrTooManyConfigs,
				resources, bytes, limit.resources, limit.bytes)
		}
	}
	return nil
}

// ConfigsOf returns all overrides of a kind: the same pointer as long as none of them changes.
func (r *Replica) ConfigsOf(kind ConfigKind) *ConfigSet {
	return r.configs.overrides.Load().kind(kind)
}

// Configs returns the overrides of a resource, nil if it has none. They are shared: they are not to be modified.
func (r *Replica) Configs(of ConfigResource) map[string]string {
	return r.configs.overrides.Load().on(of)
}

// ConfigResources returns the names of the resources of a kind that have overrides, sorted.
func (r *Replica) ConfigResources(kind ConfigKind) []string {
	var names []string
	for name := range r.ConfigsOf(kind).All() {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// ConfigsVersion is another number whenever Configs may have changed. It costs an atomic load.
func (r *Replica) ConfigsVersion() uint64 { return r.configs.version.Load() }

// configView is the overrides of the state, for readers that take no lock.
type configView struct {
	overrides atomic.Pointer[configOverrides]
	version   atomic.Uint64
}

// follow shows what the state has, which is locked for writing.
func (v *configView) follow(s *State) {
	if v.overrides.Load() != s.configs {
		v.overrides.Store(s.configs)
		v.version.Add(1) // last: who sees the new number sees the new overrides
	}
}
