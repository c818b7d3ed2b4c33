package node

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"

	"github.com/runnel-io/runnel/broker/config"
	"github.com/runnel-io/runnel/broker/place"
)

// errNotLocated: others would be told of a zone, or a host, of the name auto.
var errNotLocated = errors.New("zone and advertise are auto, and nobody has asked the platform")

// Locate asks the platform for the zones and addresses of a configuration that are auto, and puts the answers into it. A broker
// is opened with what it leaves. It asks nobody if nothing is auto.
func Locate(ctx context.Context, c *config.Config, log *slog.Logger) error {
	return locate(ctx, c, log, place.Options{})
}

func locate(ctx context.Context, c *config.Config, log *slog.Logger, o place.Options) error {
	asks := c.Unlocated()
	for _, platform := range slices.Sorted(maps.Keys(asks)) {
		o.Platform = platform
		found, err := place.Find(ctx, place.Ask(asks[platform]), o)
		if err != nil {
			return err // says what was asked
		}
		host := ""
		if found.Address.IsValid() {
			host = found.Address.String()
		}
		c.Locate(platform, found.Zone, host, found.Name)
		log.Info("the platform tells where this broker is", "platform", found.Platform, "zone", found.Zone, "address", host, "name", found.Name)
	}
	return nil
}
