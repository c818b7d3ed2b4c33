package checker

import (
	"math"
	"time"

	"github.com/runnel-io/runnel/integration/history"
)

// regime is a time in which the settings of a topic were, or may have been, some.
type regime struct {
	*history.Topic
	asked history.Moment // when they were asked for; zero: from the start on
	doubt bool           // nobody knows whether they became so, and when
	until time.Duration  // brokers may have gone by them
}

// Lingering is how long what was asked for without an answer may yet come to pass.
const Lingering = 40 * time.Second

// altered adds the settings that an operation asks for. They end those before them if they came to pass, and those can not come after
// them.
func altered(before []regime, o *history.Operation, trailing time.Duration) []regime {
	if o.Outcome == history.OK && !o.Ended.Never() {
		for i := range before {
			if r := &before[i]; !r.doubt || r.asked.At+Lingering < o.Begun.At {
				r.until = min(r.until, o.Ended.At+trailing)
			}
		}
	}
	doubt := o.Outcome != history.OK
	return append(before, regime{Topic: o.Settings, asked: o.Begun, doubt: doubt, until: math.MaxInt64})
}

// by returns the last instant, up to another, at which a broker may have gone by the settings; false if there was none.
func (r *regime) by(then instant) (instant, bool) {
	if r.asked.Seq >= then.seq {
		return then, false
	}
	then.at = min(then.at, r.until)
	return then, true
}
