package broker

import (
	"slices"
	"strconv"
	"strings"

	"github.com/runnel-io/runnel/broker/settings"
)

// What a broker says of itself to who asks for it by name in DescribeConfigs, as settings that cannot be changed. They are
// not among all settings of a broker: they change by the second, and tools that compare settings would see differences
// where there are none.
const (
	VersionSetting     = "runnel.version"            // of the software
	EpochSetting       = "runnel.broker.epoch"       // of the broker's registration, which grows with every start
	LeaseLeftSetting   = "runnel.lease.remaining.ms" // how long the registration is certainly still valid
	RolesSetting       = "runnel.roles"              // that it holds for all brokers, such as sequencer:7, with their epochs
	roleEpochSeparator = ":"
	roleSeparator      = ","
)

// Role is something that the broker does on behalf of all, under a lease.
type Role struct {
	Name  string
	Epoch int64 // of the lease
}

func (r Role) String() string { return r.Name + roleEpochSeparator + strconv.FormatInt(r.Epoch, 10) }

// ParseRoles reads a RolesSetting. What it does not understand it leaves out.
func ParseRoles(s string) []Role {
	var roles []Role
	for text := range strings.SplitSeq(s, roleSeparator) {
		name, epoch, _ := strings.Cut(text, roleEpochSeparator)
		if n, err := strconv.ParseInt(epoch, 10, 64); err == nil && name != "" {
			roles = append(roles, Role{name, n})
		}
	}
	return roles
}

// state are the settings of this kind that were asked for.
func (b *Broker) state(names []string) (entries []settings.Entry) {
	for _, name := range names {
		value, ok := "", true
		switch name {
		case VersionSetting:
			value = b.Membership.Self().Version
		case EpochSetting:
			value = strconv.FormatInt(b.Membership.Self().Epoch, 10)
		case LeaseLeftSetting:
			value = strconv.FormatInt(max(b.Membership.LeaseRemaining().Milliseconds(), 0), 10)
		case RolesSetting:
			var roles []string
			for _, r := range b.Roles() {
				roles = append(roles, r.String())
			}
			value = strings.Join(roles, roleSeparator)
		default:
			ok = false
		}
		isThere := slices.ContainsFunc(entries, func(e settings.Entry) bool { return e.Name == name })
		if ok && !isThere {
			entries = append(entries, settings.ReadOnly(name, value))
		}
	}
	return entries
}
