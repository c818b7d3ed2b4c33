// Package slows3 makes a local S3 server as slow as a real one: a reverse proxy that holds each answer until a time
// drawn from a distribution has passed since the request came. It adds no bandwidth limit, no errors and no throttling.
package slows3

import (
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"time"
)

// Distribution is the log-normal distribution with these quantiles.
type Distribution struct{ P50, P99 time.Duration }

// z99 is the 99th percentile of the standard normal distribution.
const z99 = 2.3263478740408408

// sample is the value at a standard normal deviate.
func (d Distribution) sample(z float64) time.Duration {
	if d.P50 == 0 {
		return 0
	}
	sigma := math.Log(float64(d.P99)/float64(d.P50)) / z99
	return time.Duration(float64(d.P50) * math.Exp(sigma*z))
}

// Profile is how long requests take.
type Profile struct {
	Name string
	Put  Distribution // of small objects
	Get  Distribution // to the first byte; of every other kind of request, too
	// PutGrowth is what the time of a PUT grows by, as a factor, per 4 MiB of the object.
	PutGrowth float64
}

// Standard is S3 Standard as clients see it in its region. 4 MiB have a p99 of 400 ms, and grow the median alike.
var Standard = Profile{
	Name: "S3 Standard",
	Put:  Distribution{60 * time.Millisecond, 250 * time.Millisecond},
	Get:  Distribution{25 * time.Millisecond, 120 * time.Millisecond}, PutGrowth: 400.0/250 - 1,
}

// Express is S3 Express One Zone.
var Express = Profile{
	Name: "S3 Express One Zone",
	Put:  Distribution{6 * time.Millisecond, 20 * time.Millisecond},
	Get:  Distribution{6 * time.Millisecond, 20 * time.Millisecond},
}

// None adds nothing: the proxy only looks on.
var None = Profile{Name: "no delay"}

// ByName finds a profile: standard or express.
func ByName(name string) (Profile, error) {
	switch name {
	case "standard":
		return Standard, nil
	case "express":
		return Express, nil
	}
	return Profile{}, fmt.Errorf("no profile is called %q: standard or express", name)
}

// Draws are the latencies of one server. Equal seeds draw equal PUTs and equal GETs, however the two mix. Safe for
// concurrent use.
type Draws struct {
	profile Profile

	mu       sync.Mutex
	put, get *rand.Rand
}

// NewDraws begins a sequence.
func NewDraws(p Profile, seed uint64) *Draws {
	return &Draws{profile: p, put: rand.New(rand.NewPCG(seed, 1)), get: rand.New(rand.NewPCG(seed, 2))}
}

const growthUnit = 4 << 20

// Put is how long the next PUT takes, of so many bytes.
func (d *Draws) Put(size int64) time.Duration {
	d.mu.Lock()
	z := d.put.NormFloat64()
	d.mu.Unlock()
	factor := 1 + d.profile.PutGrowth*float64(max(size, 0))/growthUnit
	return time.Duration(float64(d.profile.Put.sample(z)) * factor)
}

// Get is how long the next request that is no PUT takes until its first byte.
func (d *Draws) Get() time.Duration {
	d.mu.Lock()
	z := d.get.NormFloat64()
	d.mu.Unlock()
	return d.profile.Get.sample(z)
}
