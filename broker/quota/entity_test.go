package quota

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"
)

func TestEntitiesAreNamedAsTheDesignRecordSays(t *testing.T) {
	for text, e := range map[string]Entity{
		"user=alice":                          {User: Named("alice")},
		"user=%3Cdefault%3E":                  {User: Named("<default>")},
		"user=<default>&client-id=<default>":  {User: Default, ClientID: Default},
		"user=a%26b+c%3D&client-id=%C3%A9%25": {User: Named("a&b c="), ClientID: Named("é%")},
		"client-id=<default>":                 {ClientID: Default},
		"ip=10.0.0.1":                         {IP: Named("10.0.0.1")},
		"ip=2001%3Adb8%3A%3A1":                {IP: Named("2001:db8::1")},
		"ip=<default>":                        {IP: Default},
	} {
		if got := e.String(); got != text {
			t.Errorf("%+v is %q, want %q", e, got, text)
		}
		if got, err := ParseEntity(text); err != nil || got != e {
			t.Errorf("%q is %+v, %v, want %+v", text, got, err, e)
		}
	}
	for _, text := range []string{"", "user", "user=", "group=x", "user=a&user=b", "client-id=c&user=a", "ip=host", "ip=10.0.0.1&user=a", "user=%zz", "user=%61", "user=<x>", "&user=a"} {
		if e, err := ParseEntity(text); !errors.Is(err, ErrInvalid) {
			t.Errorf("%q is %+v, %v", text, e, err)
		}
	}
}

func FuzzEntity(f *testing.F) {
	for _, text := range []string{"user=alice&client-id=<default>", "ip=::1", "user=%3Cdefault%3E"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if e, err := ParseEntity(text); err == nil && e.String() != text {
			t.Fatalf("%q is read as %+v, which is %q", text, e, e.String())
		}
		if e := (Entity{User: Named(text), ClientID: Named(text)}); text != "" {
			if back, err := ParseEntity(e.String()); err != nil || back != e {
				t.Fatalf("%+v comes back as %+v, %v", e, back, err)
			}
		}
	})
}

func TestQuotasAreValidatedAsKafkaDoes(t *testing.T) {
	user, ip := Entity{User: Default}, Entity{IP: Named("::1")}
	for _, c := range []struct {
		e     Entity
		key   string
		value float64
		ok    bool
	}{
		{user, "producer_byte_rate", 1, true},
		{user, "producer_byte_rate", 0.5, false},
		{user, "consumer_byte_rate", 1e18, true},
		{user, "consumer_byte_rate", 1e19, false},
		{user, "request_percentage", 0.5, true},
		{user, "controller_mutation_rate", 0.1, true},
		{user, "connection_creation_rate", 1, false},
		{user, "leader.replication.throttled.rate", 1, false},
		{user, "request_percentage", 0, false},
		{user, "request_percentage", -1, false},
		{user, "request_percentage", math.NaN(), false},
		{user, "request_percentage", math.Inf(1), false},
		{ip, "connection_creation_rate", 5, true},
		{ip, "connection_creation_rate", 2147483648, false},
		{ip, "producer_byte_rate", 5, false},
	} {
		if err := c.e.CheckValue(c.key, c.value); (err == nil) != c.ok || err != nil && !errors.Is(err, ErrInvalid) {
			t.Errorf("%s %s=%g: %v", c.e, c.key, c.value, err)
		}
	}
	for _, v := range []float64{1, 0.1, 1e18, 1048576, 12.5} {
		if got, err := ParseValue(FormatValue(v)); err != nil || got != v {
			t.Errorf("%g comes back as %g, %v", v, got, err)
		}
	}
}

// TestLongClientIDsHaveShortAccounts: each for itself, and with the quota of the whole id.
func TestLongClientIDsHaveShortAccounts(t *testing.T) {
	long := strings.Repeat("x", 32767)
	limiter := limiterOf(t, Options{}, Entity{ClientID: Default}, Produce.String(), 10)
	now := time.Unix(1, 0)
	limiter.Meter(Produce, Client{ID: long + "1"}, now).Record(1e6, now)
	if wait := limiter.Meter(Produce, Client{ID: long + "2"}, now).Record(1, now); wait > 0 {
		t.Errorf("waits %v for another", wait)
	}
	if wait := limiter.Meter(Produce, Client{ID: long + "1"}, now).Record(1, now); wait == 0 {
		t.Error("does not wait")
	}
	limiter.tables[Produce].each(func(k key, _ *account) {
		if len(k.client) > longestAccountName {
			t.Errorf("an account has a name of %d bytes", len(k.client))
		}
	})
}

// TestAnAddressWrittenInTwoWaysHasOneQuota: the least, in whatever order they are found.
func TestAnAddressWrittenInTwoWaysHasOneQuota(t *testing.T) {
	set := quotasOf(t, map[Entity]map[string]float64{
		{IP: Named("10.0.0.1")}: {Connection.String(): 9}, {IP: Named("::ffff:10.0.0.1")}: {Connection.String(): 5},
	})
	for range 50 {
		if got := NewIndex(set()).connections("10.0.0.1"); got != 5 {
			t.Fatalf("the quota is %v", got)
		}
	}
}
