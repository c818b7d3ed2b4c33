package config

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// value is a parsed text: what its kind makes of it.
type value struct {
	text     string
	number   int64
	duration time.Duration
	subnets  []Subnet
	list     []string
	names    []string
}

// Kind is the form of a key's value.
type Kind interface {
	parse(text string) (value, error)
	// String names the form in documentation.
	String() string
}

// form is a Kind without parameters.
type form struct {
	name  string
	check func(text string) (value, error)
}

func (f form) String() string                   { return f.name }
func (f form) parse(text string) (value, error) { return f.check(text) }

var (
	text             = form{"text", func(s string) (value, error) { return value{text: s}, nil }}
	address          = form{"host:port", parseAddress}
	optionalAddress  = form{"host:port", parseOptionalAddress}
	reachableAddress = form{"host:port", parseReachableAddress}
	zoneName         = form{"text", parseZone}
	certificates     = form{"PEM", parseCertificates}
	nodeID           = form{"number", parseNodeID}
	duration         = form{"duration", parseDuration}
	boolean          = words{"true", "false"}
	triState         = words{"auto", "true", "false"}
	metastoreURL     = form{"URL", parseMetastoreURL}
	objectStoreURL   = form{"URL", parseObjectStoreURL}
	endpointURL      = form{"URL", parseEndpointURL}
	subnets          = form{"subnet=zone, ...", parseSubnets}
)

// words is a choice.
type words []string

func (w words) String() string { return strings.Join(w, ", ") }

func (w words) parse(s string) (value, error) {
	if !slices.Contains(w, s) {
		return value{}, fmt.Errorf("must be one of %s", strings.Join(w, ", "))
	}
	return value{text: s}, nil
}

// optional is a kind whose value may be missing.
type optional struct{ Kind }

func (k optional) parse(s string) (value, error) {
	if s == "" {
		return value{}, nil
	}
	return k.Kind.parse(s)
}

// someWords is a list of different words of a choice, not empty.
type someWords []string

func (w someWords) String() string { return "word, ..." }

func (w someWords) parse(s string) (value, error) {
	v := value{text: s}
	for word := range strings.SplitSeq(s, ",") {
		if word = strings.TrimSpace(word); !slices.Contains(w, word) || slices.Contains(v.list, word) {
			return value{}, fmt.Errorf("must be some of %s, separated by commas, each once", strings.Join(w, ", "))
		}
		v.list = append(v.list, word)
	}
	return v, nil
}

// number is a whole number in an interval.
type number struct{ min, max int64 }

func (number) String() string { return "number" }

func (k number) parse(s string) (value, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < k.min || n > k.max {
		return value{}, fmt.Errorf("must be a whole number from %d to %d", k.min, k.max)
	}
	return value{text: s, number: n}, nil
}

// durationFrom is a duration of a least length.
type durationFrom time.Duration

func (durationFrom) String() string { return "duration" }

func (k durationFrom) parse(s string) (value, error) {
	v, err := parseDuration(s)
	if err == nil && v.duration < time.Duration(k) {
		return value{}, fmt.Errorf("must be %v or more", time.Duration(k))
	}
	return v, err
}

// size is a number of bytes in an interval.
type size struct{ min, max int64 }

func (size) String() string { return "size" }

func (k size) parse(s string) (value, error) {
	n, err := ParseSize(s)
	if err != nil {
		return value{}, err
	}
	if n < k.min || n > k.max {
		return value{}, fmt.Errorf("must be between %s and %s", FormatSize(k.min), FormatSize(k.max))
	}
	return value{text: s, number: n}, nil
}

var units = []struct {
	name string
	size int64
}{
	{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10},
	{"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"KB", 1e3}, {"kB", 1e3}, {"B", 1},
}

// ParseSize reads a number of bytes: "8MiB", "1.5GB", "4096".
func ParseSize(s string) (int64, error) {
	digits, factor := strings.TrimSpace(s), int64(1)
	for _, u := range units {
		if rest, ok := strings.CutSuffix(digits, u.name); ok {
			digits, factor = strings.TrimSpace(rest), u.size
			break
		}
	}
	f, err := strconv.ParseFloat(digits, 64)
	if err != nil || math.IsNaN(f) || f < 0 || f*float64(factor) >= 1<<62 {
		return 0, errors.New("must be a size such as 64MiB")
	}
	return int64(f * float64(factor)), nil
}

// FormatSize is the inverse of ParseSize for whole units.
func FormatSize(n int64) string {
	for _, u := range units[:4] {
		if n >= u.size && n%u.size == 0 {
			return strconv.FormatInt(n/u.size, 10) + u.name
		}
	}
	return strconv.FormatInt(n, 10) + "B"
}

func parseDuration(s string) (value, error) {
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return value{}, errors.New("must be a time such as 250ms or 30s")
	}
	return value{text: s, duration: d}, nil
}

func parseNodeID(s string) (value, error) {
	if s == "" {
		return value{number: -1}, nil
	}
	n, err := strconv.ParseInt(s, 10, 32)
	if err != nil || n < 0 {
		return value{}, errors.New("must be a whole number from 0 up, or unset")
	}
	return value{text: s, number: n}, nil
}

func parseAddress(s string) (value, error) {
	_, port, err := net.SplitHostPort(s)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		return value{}, errors.New("must be host:port, such as 127.0.0.1:9092 or :9092")
	}
	return value{text: s}, nil
}

func parseOptionalAddress(s string) (value, error) {
	if s == "" {
		return value{}, nil
	}
	return parseAddress(s)
}

func parseReachableAddress(s string) (value, error) {
	if s == "" {
		return value{}, nil
	}
	if _, isAuto, err := ParseAuto(s); isAuto {
		return value{text: s}, err
	}
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return value{}, errors.New("must be host:port, such as broker-1.example.com:9092")
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		return value{}, errors.New("must name a host that clients can connect to, not a wildcard")
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return value{}, errors.New("must have a port between 1 and 65535")
	}
	return value{text: s}, nil
}

func parseMetastoreURL(s string) (value, error) {
	if v, ok, err := parseLocalURL(s); ok {
		return v, err
	}
	if u, err := url.Parse(s); err == nil && (u.Scheme == "postgres" || u.Scheme == "postgresql") {
		return value{text: s}, nil
	}
	// Without url.Parse's error: it quotes the URL with its password.
	return value{}, errors.New("must be postgres://user:password@host/database, file:///directory or memory://")
}

func parseObjectStoreURL(s string) (value, error) {
	if v, ok, err := parseLocalURL(s); ok {
		return v, err
	}
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Scheme != "s3":
		return value{}, errors.New("must be s3://bucket/prefix, file:///directory or memory://")
	case u.Host == "":
		return value{}, errors.New("must name a bucket, as s3://bucket/prefix")
	case u.RawQuery != "" || u.User != nil:
		return value{}, errors.New("takes no parameters or credentials in the URL; use object_store.endpoint, region, path_style, access_key, secret_key")
	}
	return value{text: s}, nil
}

// fileScheme is followed by a path as it is: nothing in it is escaped.
const fileScheme = "file://"

// parseLocalURL takes what begins with file:// or memory://.
func parseLocalURL(s string) (v value, ok bool, err error) {
	if rest, ok := strings.CutPrefix(s, "memory://"); ok {
		if rest != "" {
			err = errors.New("must be memory:// alone")
		}
		return value{text: s}, true, err
	}
	if dir, ok := strings.CutPrefix(s, fileScheme); ok {
		if !filepath.IsAbs(dir) {
			err = errors.New("must have three slashes and an absolute path, as file:///var/lib/runnel")
		}
		return value{text: s}, true, err
	}
	return value{}, false, nil
}

func parseEndpointURL(s string) (value, error) {
	if s == "" {
		return value{}, nil
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return value{}, errors.New("must be an http or https URL, such as http://minio:9000")
	}
	return value{text: s}, nil
}

const (
	leastPeerSecret = 16 // as package peer demands
	leastToken      = 16
)

// secretText is a text that nobody should be able to guess, or none.
type secretText struct{ least int }

func (secretText) String() string { return "text" }

func (k secretText) parse(s string) (value, error) {
	if s != "" && len(s) < k.least {
		return value{}, fmt.Errorf("must have %d characters or more", k.least)
	}
	return value{text: s}, nil
}

// list is names out of some, separated by commas.
type list struct{ known func() []string }

func (list) String() string { return "name, ..." }

func (k list) parse(s string) (value, error) {
	v := value{text: s}
	for name := range strings.SplitSeq(s, ",") {
		name = strings.TrimSpace(name)
		switch {
		case name == "":
		case !slices.Contains(k.known(), name):
			return value{}, fmt.Errorf("%q is none of %s", name, strings.Join(k.known(), ", "))
		default:
			v.names = append(v.names, name)
		}
	}
	return v, nil
}

func parseSubnets(s string) (value, error) {
	v := value{text: s}
	if strings.TrimSpace(s) == "" {
		return v, nil
	}
	zones := make(map[netip.Prefix]string)
	for part := range strings.SplitSeq(s, ",") {
		subnet, zone, ok := strings.Cut(part, "=")
		zone = strings.TrimSpace(zone)
		prefix, err := netip.ParsePrefix(strings.TrimSpace(subnet))
		if !ok || zone == "" || err != nil {
			return value{}, errors.New("must be subnets and their zones, such as 10.0.1.0/24=a, fd00::/64=b")
		}
		if prefix != prefix.Masked() {
			return value{}, fmt.Errorf("%s is an address within %s: which is meant?", prefix, prefix.Masked())
		}
		if prefix.Addr().Is4In6() {
			return value{}, fmt.Errorf("%s must be written as an IPv4 subnet", prefix)
		}
		if other, twice := zones[prefix]; twice && other != zone {
			return value{}, fmt.Errorf("%s is in two zones, %s and %s", prefix, other, zone)
		}
		zones[prefix] = zone
		v.subnets = append(v.subnets, Subnet{prefix, zone})
	}
	return v, nil
}
