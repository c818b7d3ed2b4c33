package mark

import (
	"fmt"
	"math"

	"github.com/runnel-io/runnel/metastore"
)

// Rebuilt is the mark that ends a cluster whose metastore was made anew as another cluster's. It names a position that no log
// holds: brokers that still follow the lost metastore refuse it when they next look, and those that start on it at once.
func Rebuilt(cluster string) Mark {
	return Mark{cluster, metastore.Position{Seq: math.MaxInt64}, metastore.AnyNodeID}
}

// IsRebuilt tells whether m is Rebuilt.
func (m Mark) IsRebuilt() bool { return m == Rebuilt(m.Cluster) }

// RebuiltText is what lies in the object of a Rebuilt mark.
func RebuiltText(cluster, as string) []byte {
	return fmt.Appendf(nil, "The metastore of cluster %s was lost and made anew as cluster %s. No broker may serve from the former any more.\n", cluster, as)
}
