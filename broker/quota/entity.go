package quota

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// Part is what an Entity has of a type: nothing, the default of all, or a name.
type Part struct {
	Name    string
	Set     bool
	Default bool // Name is ""
}

// Named is a Part with a name, Default that of all.
func Named(name string) Part { return Part{Name: name, Set: true} }

// Default is the Part of all that have no quota of their own.
var Default = Part{Set: true, Default: true}

// Entity is what quotas are set for: a user, a client id, both, or an address; each perhaps the default.
type Entity struct{ User, ClientID, IP Part }

// Types of parts, as Kafka names them.
const (
	UserType     = "user"
	ClientIDType = "client-id"
	IPType       = "ip"
)

// Types are those that entities may have.
var Types = []string{UserType, ClientIDType, IPType}

// Part is the entity's part of a type; nil if there is no such type.
func (e *Entity) Part(kind string) *Part {
	switch kind {
	case UserType:
		return &e.User
	case ClientIDType:
		return &e.ClientID
	case IPType:
		return &e.IP
	}
	return nil
}

const defaultName = "<default>"

// String is the entity's name in the commit log: user=…&client-id=…, or ip=…, escaped as in URL queries.
func (e Entity) String() string {
	var parts []string
	for _, kind := range Types {
		switch p := e.Part(kind); {
		case !p.Set:
		case p.Default:
			parts = append(parts, kind+"="+defaultName)
		default:
			parts = append(parts, kind+"="+url.QueryEscape(p.Name))
		}
	}
	return strings.Join(parts, "&")
}

// ErrInvalid is an entity or a quota that cannot be.
var ErrInvalid = errors.New("invalid quota")

// ParseEntity is the reverse of Entity.String. ErrInvalid, also for texts that String does not make.
func ParseEntity(text string) (Entity, error) {
	var e Entity
	for field := range strings.SplitSeq(text, "&") {
		kind, name, _ := strings.Cut(field, "=")
		p := e.Part(kind)
		if p == nil || p.Set {
			return Entity{}, fmt.Errorf("%w: entity %q", ErrInvalid, text)
		}
		if name == defaultName {
			*p = Default
			continue
		}
		unescaped, err := url.QueryUnescape(name)
		if err != nil {
			return Entity{}, fmt.Errorf("%w: entity %q", ErrInvalid, text)
		}
		*p = Named(unescaped)
	}
	if err := e.Check(); err != nil {
		return Entity{}, err
	}
	if e.String() != text {
		return Entity{}, fmt.Errorf("%w: entity %q", ErrInvalid, text)
	}
	return e, nil
}

// Check tells whether there can be such an entity: ErrInvalid.
func (e Entity) Check() error {
	for _, kind := range Types {
		if p := e.Part(kind); p.Set && !p.Default && p.Name == "" {
			return fmt.Errorf("%w: empty %s", ErrInvalid, kind)
		}
	}
	switch {
	case e.IP.Set && (e.User.Set || e.ClientID.Set):
		return fmt.Errorf("%w: ip cannot be combined with user or client-id", ErrInvalid)
	case e.IP.Set && !e.IP.Default:
		if _, err := netip.ParseAddr(e.IP.Name); err != nil {
			return fmt.Errorf("%w: %q is no address", ErrInvalid, e.IP.Name)
		}
	case !e.IP.Set && !e.User.Set && !e.ClientID.Set:
		return fmt.Errorf("%w: empty entity", ErrInvalid)
	}
	return nil
}

// CheckKey tells whether a key is for quotas of the entity: ErrInvalid.
func (e Entity) CheckKey(key string) (Kind, error) {
	kind, ok := KindOf(key)
	if !ok || e.IP.Set != (kind == Connection) {
		return 0, fmt.Errorf("%w: %q is no quota of %s", ErrInvalid, key, e)
	}
	return kind, nil
}

// CheckValue tells whether an entity may have the quota: ErrInvalid.
func (e Entity) CheckValue(key string, value float64) error {
	kind, err := e.CheckKey(key)
	k := &keys[kind]
	switch {
	case err != nil:
		return err
	case !(value > 0) || math.IsInf(value, 1): // written so that NaN is refused
		return fmt.Errorf("%w: %s must be a number greater than 0", ErrInvalid, key)
	case k.most > 0 && value > k.most:
		return fmt.Errorf("%w: %s is at most %g", ErrInvalid, key, k.most)
	case k.whole && math.Mod(value, 1) > 1e-6: // as Kafka
		return fmt.Errorf("%w: %s must be a whole number", ErrInvalid, key)
	}
	return nil
}

// FormatValue is a quota as text for the commit log.
func FormatValue(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }

// ParseValue is the reverse of FormatValue.
func ParseValue(text string) (float64, error) {
	v, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return 0, fmt.Errorf("%w: value %q", ErrInvalid, text)
	}
	return v, nil
}
