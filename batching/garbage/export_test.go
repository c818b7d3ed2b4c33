package garbage

// Sights is how many looks a collector remembers.
func Sights(c *Collector) int { return len(c.watch.sights) }
