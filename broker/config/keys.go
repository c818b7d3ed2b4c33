package config

import (
	"slices"
	"strings"
)

// Key is one row of the table: a leaf of the YAML file.
type Key struct {
	Name     string // path in the file, "object_store.url"
	Kind     Kind
	Default  string // as it would stand in the file; "" is unset
	Required bool
	Doc      string // what it means, one or two sentences
	Secret   bool   // never shown
	Bare     string // what its flag means without a value; "": it must have one
	set      func(c *Config, v value)
}

// Words are the values of a key that is a choice, nil of one that is not.
func (k Key) Words() []string {
	w, _ := k.Kind.(words)
	return w
}

// Env is the environment variable of the key.
func (k Key) Env() string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(k.Name, ".", "_"))
}

// Flag is the name of the key's flag, without dashes.
func (k Key) Flag() string {
	return strings.NewReplacer(".", "-", "_", "-").Replace(k.Name)
}

const envPrefix = "RUNNEL_"

// clusterKey is the one key that is no leaf: under it stand Kafka's broker-level settings.
const clusterKey = "cluster"

// ClusterFlag is the repeatable flag that sets a cluster default, as name=value.
const ClusterFlag = "set"

// ClusterEnv is the environment variable of a cluster default.
func ClusterEnv(setting string) string {
	return envPrefix + "CLUSTER_" + strings.ToUpper(strings.ReplaceAll(setting, ".", "_"))
}

// Keys returns the table, in the order of the documentation.
func Keys() []Key { return append([]Key(nil), keys...) }

func lookup(name string) (Key, bool) {
	for _, k := range keys {
		if k.Name == name {
			return k, true
		}
	}
	return Key{}, false
}

// keys are the keys of all parts of a broker, each of which has a file.
var keys = withFiles(slices.Concat(listenKeys, tlsKeys, placeKeys, adminKeys, peerKeys, storeKeys, workKeys, authenticationKeys, accessKeys, quotaKeys, auditKeys, unsafeKeys))
