package settings

import "time"

// QuotaWindow is how rates of clients are measured.
type QuotaWindow struct {
	Samples int
	Size    time.Duration // of each
}

func (c *Cluster) quotaWindow(prefix string) QuotaWindow {
	return QuotaWindow{int(min(c.Int(prefix+"num"), 3600)), time.Duration(min(c.Int(prefix+"size.seconds"), 3600)) * time.Second}
}
