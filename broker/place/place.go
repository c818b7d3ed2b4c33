// Package place tells in which availability zone this process runs, and at which address or name others reach it, by asking the
// platform that it runs on: the metadata of an ECS task, the API of Kubernetes, or the metadata of an EC2 instance.
//
// Zones are names, as eu-central-1a: what all three know, and what clients find in the same places. (Names of zones are each
// account's own; the ids, as euc1-az2, are the same in all, but ECS and Kubernetes do not tell them.)
//
// Every request has a deadline and every answer a bound; there are no proxies and no redirects in between. Platforms answer
// late when a machine or pod has just begun, so they are asked again for half a minute.
package place

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"time"
)

// Platforms.
const (
	ECS        = "ecs"
	Kubernetes = "kubernetes"
	EC2        = "ec2"
)

// Ask is what is wanted to know.
type Ask struct{ Zone, Address, Name bool }

// Place is the answer. What was not asked for is zero.
type Place struct {
	Platform string
	Zone     string
	Address  netip.Addr
	Name     string // in DNS, of the address: what a certificate can name
}

// Options say whom to ask, and how long. The zero value asks the platform that there is.
type Options struct {
	Platform string // ECS, Kubernetes or EC2; default: see detect

	Request time.Duration // bounds a request; 2 s
	Total   time.Duration // bounds all of them; 30 s
	Pause   time.Duration // between attempts; 1 s

	Getenv     func(string) string // default os.Getenv
	InstanceAt string              // URL of the instance's metadata; default http://169.254.169.254
	AccountDir string              // of the files of a pod's service account; default where Kubernetes mounts them
	Hostname   func() (string, error)

	attempts int // at most; 0: as many as fit into Total
}

func (o Options) withDefaults() Options {
	o.Request = cmp.Or(o.Request, 2*time.Second)
	o.Total = cmp.Or(o.Total, 30*time.Second)
	o.Pause = cmp.Or(o.Pause, time.Second)
	o.InstanceAt = cmp.Or(o.InstanceAt, "http://169.254.169.254")
	o.AccountDir = cmp.Or(o.AccountDir, "/var/run/secrets/kubernetes.io/serviceaccount")
	if o.Getenv == nil {
		o.Getenv = os.Getenv
	}
	if o.Hostname == nil {
		o.Hostname = os.Hostname
	}
	return o
}

// platform can be asked where this process is. An error that another attempt would meet again is a *lastingError.
type platform interface {
	find(ctx context.Context, ask Ask) (Place, error)
}

// lastingError is one that waiting does not mend.
type lastingError struct{ err error }

func (e *lastingError) Error() string { return e.err.Error() }
func (e *lastingError) Unwrap() error { return e.err }

func lasting(format string, args ...any) error { return &lastingError{fmt.Errorf(format, args...)} }

// instead is what to do about a platform that does not tell.
const instead = "set zone and advertise to their values, or to auto:ecs, auto:kubernetes or auto:ec2 to say whom to ask"

// Find asks until there is an answer, or Total has passed.
func Find(ctx context.Context, ask Ask, o Options) (Place, error) {
	o = o.withDefaults()
	name := cmp.Or(o.Platform, detect(o.Getenv))
	p, err := o.open(name)
	if err != nil {
		return Place{}, fmt.Errorf("ask %s where this broker is: %w; %s", name, err, instead)
	}
	ctx, cancel := context.WithTimeout(ctx, o.Total)
	defer cancel()
	var why error
	for attempt := 1; ; attempt++ {
		found, err := o.try(ctx, p, ask)
		if err == nil {
			found.Platform = name
			return found, nil
		}
		if why == nil || ctx.Err() == nil { // that the last one is cut off says less than why those before failed
			why = err
		}
		var last *lastingError
		if attempt != o.attempts && !errors.As(err, &last) && pause(ctx, o.Pause) == nil {
			continue
		}
		if errors.Is(ctx.Err(), context.Canceled) {
			return Place{}, ctx.Err() // whoever asks has given up
		}
		times := ""
		if attempt > 1 {
			times = fmt.Sprintf(" (%d times)", attempt)
		}
		return Place{}, fmt.Errorf("ask %s where this broker is%s: %w; %s", name, times, why, instead)
	}
}

// try asks once, and takes no answer that a broker could not use.
func (o Options) try(ctx context.Context, p platform, ask Ask) (Place, error) {
	found, err := p.find(ctx, ask)
	if err != nil {
		return Place{}, err
	}
	if ask.Zone {
		if err := checkZone(found.Zone); err != nil {
			return Place{}, err
		}
	}
	if ask.Address {
		if a := found.Address; !a.IsValid() || !a.IsGlobalUnicast() {
			return Place{}, fmt.Errorf("%q is no address that others could reach", a)
		}
	}
	if ask.Name {
		if err := checkName(found.Name); err != nil {
			return Place{}, err
		}
	} else {
		found.Name = ""
	}
	if !ask.Address {
		found.Address = netip.Addr{}
	}
	return found, nil
}

// checkName refuses what is no name in DNS with a domain: a bare host name is resolved by nobody else.
func checkName(name string) error {
	if name == "" {
		return errors.New("it tells no name")
	}
	labels := strings.Split(name, ".")
	if len(name) > 253 || len(labels) < 2 {
		return fmt.Errorf("%.120q is no name that others could resolve", name)
	}
	for _, label := range labels {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' || strings.ContainsFunc(label, notInNames) {
			return fmt.Errorf("%.120q is no name that others could resolve", name)
		}
	}
	return nil
}

func notInNames(r rune) bool {
	return r != '-' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
}

const longestZone = 100

// checkZone refuses what clients could not name in their client.id.
func checkZone(zone string) error {
	if zone == "" {
		return errors.New("it tells no zone")
	}
	for _, r := range zone {
		if r <= ' ' || r > '~' || r == ',' || r == ';' || r == '&' {
			return fmt.Errorf("%.120q is no name of a zone", zone)
		}
	}
	if len(zone) > longestZone {
		return fmt.Errorf("%.120q is too long for a zone", zone)
	}
	return nil
}

// pause waits, or returns why not.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// The variables by which platforms show that a process runs on them.
const (
	ecsVariable        = "ECS_CONTAINER_METADATA_URI_V4"
	kubernetesVariable = "KUBERNETES_SERVICE_HOST"
)

// detect tells the platform: ECS and Kubernetes say that they are there, EC2 does not. It comes last, since in a pod or task that
// runs on an instance its metadata may answer too, and tell where the instance is reached, which is not where the pod is.
func detect(getenv func(string) string) string {
	switch {
	case getenv(ecsVariable) != "":
		return ECS
	case getenv(kubernetesVariable) != "":
		return Kubernetes
	}
	return EC2
}

func (o Options) open(name string) (platform, error) {
	switch name {
	case ECS:
		return newTask(o)
	case Kubernetes:
		return newPod(o)
	case EC2:
		return newInstance(o)
	}
	return nil, errors.New("nothing is known of such a platform")
}
