package quota

import (
	"crypto/sha256"
	"encoding/hex"
	"net/netip"

	"github.com/runnel-io/runnel/metastore"
)

// level is one of Kafka's steps of precedence, the first the strongest.
type level uint8

// level names what quotas of the level are set for; clients who share one share what they take.
const (
	userAndClient level = iota
	userAnyClient
	userAlone
	anyUserAndClient
	anyUserAnyClient
	anyUser
	clientAlone
	anyClient
	levels
)

// key is what has its own account: with a quota of a user alone, all client ids of the user have one; with a default for
// client ids, each has its own.
type key struct {
	user, client string
	level        level
}

// of is the entity at a level that would limit a client.
func (l level) of(c Client) Entity {
	var e Entity
	switch l {
	case userAndClient, userAnyClient, userAlone:
		e.User = Named(c.User)
	case anyUserAndClient, anyUserAnyClient, anyUser:
		e.User = Default
	}
	switch l {
	case userAndClient, anyUserAndClient, clientAlone:
		e.ClientID = Named(c.ID)
	case userAnyClient, anyUserAnyClient, anyClient:
		e.ClientID = Default
	}
	return e
}

func (l level) account(c Client) key {
	k := key{level: l}
	if l <= anyUser {
		k.user = c.User
	}
	switch l {
	case userAndClient, anyUserAndClient, clientAlone: // there are as many as quotas
		k.client = c.ID
	case userAnyClient, anyUserAnyClient, anyClient:
		k.client = accountName(c.ID)
	}
	return k
}

// longestAccountName bounds what the name of an account takes. Client ids have up to 32 KiB, and each may be another.
const longestAccountName = 256

// accountName is the id, or if it is long its beginning and its hash.
func accountName(id string) string {
	if len(id) <= longestAccountName {
		return id
	}
	sum := sha256.Sum256([]byte(id))
	return id[:longestAccountName-2*len(sum)] + hex.EncodeToString(sum[:])
}

// Index is all quotas there are at some time. It does not change.
type Index struct {
	set    *metastore.ConfigSet // that it was made of
	limits [kinds]map[Entity]float64
	levels [kinds]uint16 // bits of those at which there are quotas
	ips    map[netip.Addr]float64
	anyIP  float64 // 0: none
	any    bool    // of users or clients
}

// NewIndex makes an index. Overrides that are no quotas, of another version of Runnel perhaps, are left out.
func NewIndex(set *metastore.ConfigSet) *Index {
	x := &Index{set: set}
	for name, quotas := range set.All() {
		e, err := ParseEntity(name)
		if err != nil {
			continue
		}
		for key, text := range quotas {
			value, err := ParseValue(text)
			if err == nil && e.CheckValue(key, value) == nil {
				x.add(e, key, value)
			}
		}
	}
	return x
}

func (x *Index) add(e Entity, key string, value float64) {
	kind, _ := KindOf(key)
	switch {
	case e.IP.Default:
		x.anyIP = value
	case e.IP.Set:
		if x.ips == nil {
			x.ips = make(map[netip.Addr]float64)
		}
		address := addressOf(e.IP.Name)
		if another, ok := x.ips[address]; ok { // written in another way: the least, whatever the order
			value = min(value, another)
		}
		x.ips[address] = value
	default:
		if x.limits[kind] == nil {
			x.limits[kind] = make(map[Entity]float64)
		}
		x.limits[kind][e] = value
		x.levels[kind] |= 1 << levelOf(e)
		x.any = true
	}
}

func levelOf(e Entity) level {
	var l level
	switch {
	case !e.User.Set && !e.ClientID.Default:
		return clientAlone
	case !e.User.Set:
		return anyClient
	case e.User.Default:
		l = anyUserAndClient
	}
	switch {
	case !e.ClientID.Set:
		l += 2
	case e.ClientID.Default:
		l++
	}
	return l
}

// limit finds the quota of a client: of the levels that have one for it, the strongest.
func (x *Index) limit(kind Kind, c Client) (limit float64, account key, ok bool) {
	for l := range levels {
		if x.levels[kind]&(1<<l) == 0 {
			continue
		}
		if limit, ok := x.limits[kind][l.of(c)]; ok {
			return limit, l.account(c), true
		}
	}
	return 0, key{}, false
}

// connections is the quota of new connections of an address, 0 if it has none.
func (x *Index) connections(host string) float64 {
	if x.ips != nil {
		if limit, ok := x.ips[addressOf(host)]; ok {
			return limit
		}
	}
	return x.anyIP
}

// addressOf is an address in one of its forms: those of IPv4 have two. The zero Addr if it is none.
func addressOf(host string) netip.Addr {
	a, err := netip.ParseAddr(host)
	if err != nil {
		return netip.Addr{}
	}
	return a.Unmap()
}
