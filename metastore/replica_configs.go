package metastore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
)

// Bounds of the overrides, which all brokers hold in memory and copy when one changes.
const (
	MaxConfigResources = 10_000
	MaxConfigBytes     = 1 << 20 // of all names and values
)

// ErrTooManyConfigs: the overrides would exceed MaxConfigResources or MaxConfigBytes.
var ErrTooManyConfigs = errors.New("too many or too large dynamic configs")

// AlterConfigs sets and removes overrides of brokers, groups and metrics subscriptions, all or none of the changes; the
// caller has validated them. When it returns nil they are durable, and visible in Configs. ErrTooManyConfigs.
func (r *Replica) AlterConfigs(ctx context.Context, changes []ConfigChange) error {
	_, err := r.propose(ctx, alone(func(s *State) (change, error) { return s.decideConfigs(changes) }))
	return err
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
	after := s.configs.with(made.changes)
	if grows := after.bytes > s.configs.size(); grows && (len(after.of) > MaxConfigResources || after.bytes > MaxConfigBytes) {
		return nil, fmt.Errorf("%w: %d resources with %d bytes, allowed are %d with %d", ErrTooManyConfigs,
			len(after.of), after.bytes, MaxConfigResources, MaxConfigBytes)
	}
	return made, nil
}

// Configs returns the overrides of a resource, nil if it has none. They are shared: they are not to be modified.
func (r *Replica) Configs(of ConfigResource) map[string]string {
	return r.configs.overrides.Load().on(of)
}

// ConfigResources returns the names of the resources of a kind that have overrides, sorted.
func (r *Replica) ConfigResources(kind ConfigKind) []string {
	overrides := r.configs.overrides.Load()
	if overrides == nil {
		return nil
	}
	var names []string
	for of := range overrides.of {
		if of.Kind == kind {
			names = append(names, of.Name)
		}
	}
	slices.SortFunc(names, cmp.Compare)
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
