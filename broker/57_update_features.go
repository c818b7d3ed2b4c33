package broker

import (
	"context"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/runnel-io/runnel/broker/acl"
	"github.com/runnel-io/runnel/broker/wire"
)

// UpdateFeatures (57), versions 0 to 2 (KIP-584; KIP-778 brings upgrade types and validate-only, KIP-1022 leaves out the
// results): changes the levels of features. They are those of the software here: what is in force already is a success,
// everything else is refused, with Kafka's INVALID_UPDATE_VERSION if Kafka would refuse it too and with
// FEATURE_UPDATE_FAILED if not. A request with one update that is refused fails as a whole, without results. Nothing ever
// changes, so that validate-only makes no difference.

const (
	upgrade         = 1
	safeDowngrade   = 2
	unsafeDowngrade = 3
)

func (b *Broker) updateFeatures(_ context.Context, c *wire.Conn, req *kmsg.UpdateFeaturesRequest) *kmsg.UpdateFeaturesResponse {
	resp := respond[*kmsg.UpdateFeaturesResponse](req)
	if !b.mayOnCluster(c, acl.Alter) {
		resp.ErrorCode, resp.ErrorMessage = failure(errClusterDenied)
		return resp
	}
	for _, asked := range req.FeatureUpdates {
		if req.Version == 0 {
			asked.UpgradeType = upgrade
			if asked.AllowDowngrade {
				asked.UpgradeType = safeDowngrade
			}
		}
		if err := checkFeature(features, asked); err != nil {
			err = fmt.Errorf("no feature is updated, because of %q: %w", asked.Feature, err)
			resp.ErrorCode, resp.ErrorMessage = failure(err)
			resp.Results = nil
			return resp
		}
		result := kmsg.NewUpdateFeaturesResponseResult()
		result.Feature = asked.Feature
		resp.Results = append(resp.Results, result)
	}
	return resp
}

// checkFeature is nil if the feature is at the level asked for.
func checkFeature(known []feature, asked kmsg.UpdateFeaturesRequestFeatureUpdate) error {
	level := asked.MaxVersionLevel
	invalid := func(text string, args ...any) error {
		return refuse(kerr.InvalidUpdateVersion, fmt.Sprintf(text, args...))
	}
	i := slices.IndexFunc(known, func(f feature) bool { return f.name == asked.Feature })
	switch {
	case asked.UpgradeType < upgrade || asked.UpgradeType > unsafeDowngrade:
		return invalid("there is no upgrade type %d", asked.UpgradeType)
	case level < 0:
		return invalid("the level of a feature is 0 or more")
	case i < 0:
		return invalid("there is no feature %q", asked.Feature)
	case level != 0 && (level < known[i].min || level > known[i].max):
		return invalid("feature %q has levels %d to %d", asked.Feature, known[i].min, known[i].max)
	case level < known[i].finalized && asked.UpgradeType == upgrade:
		return invalid("feature %q is at level %d: a lower one is no upgrade", asked.Feature, known[i].finalized)
	case level > known[i].finalized && asked.UpgradeType != upgrade:
		return invalid("feature %q is at level %d: a higher one is no downgrade", asked.Feature, known[i].finalized)
	case level != known[i].finalized:
		return refuse(kerr.FeatureUpdateFailed, fmt.Sprintf("feature %q is at level %d, which is that of the software", asked.Feature, known[i].finalized))
	}
	return nil
}
