package workload

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/integration/history"
)

// alterer changes the settings of a topic now and then: what is compacted is not, and is again, and records may go sooner, or later.
type alterer struct {
	*run
	number int
	rand   *rand.Rand
	times  int
}

func (r *run) newAlterer(number int) *alterer {
	return &alterer{run: r, number: number, rand: rand.New(rand.NewPCG(r.Seed, uint64(number)))}
}

// alter runs until load ends.
func (a *alterer) alter(ctx, load context.Context) error {
	probes, err := a.probes(ctx, "alterer", a.newProbe)
	if err != nil {
		return err
	}
	defer abandonAll(probes)
	for pause(load, a.Rotate/2+time.Duration(a.rand.Int64N(int64(a.Rotate)))) {
		if a.keys.exists(alteredTopic) {
			a.times++
			a.once(ctx, probes[a.rand.IntN(len(probes))], a.alteration(a.times))
		}
	}
	return nil
}

// once asks a broker for other settings.
func (a *alterer) once(ctx context.Context, p *probe, s topicSettings) {
	ctx, cancel := context.WithTimeout(ctx, a.Operation)
	defer cancel()
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	resource := kmsg.NewIncrementalAlterConfigsRequestResource()
	resource.ResourceType, resource.ResourceName = kmsg.ConfigResourceTypeTopic, s.told.Name
	for _, name := range slices.Sorted(maps.Keys(s.set)) {
		config := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
		config.Name, config.Value = name, s.set[name]
		resource.Configs = append(resource.Configs, config)
	}
	req.Resources = append(req.Resources, resource)
	op := a.Recorder.Begin(history.Operation{Kind: history.AlterTopic, Worker: a.number, Broker: p.address, Settings: s.told})
	before := p.wire.sent(kmsg.IncrementalAlterConfigs)
	answer, err := p.ask(ctx, req)
	if err == nil {
		resp := answer.(*kmsg.IncrementalAlterConfigsResponse)
		if len(resp.Resources) != 1 {
			err = errors.New("asked to alter one topic, told of others")
		} else {
			err = kerr.ErrorForCode(resp.Resources[0].ErrorCode)
		}
	}
	tries := attempts{left: p.wire.sent(kmsg.IncrementalAlterConfigs) - before, all: ctx.Err() == nil}
	a.Recorder.End(op, tries.outcome(err), err)
}
