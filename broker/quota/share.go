package quota

// share is the part of a quota that this broker grants an account, if quotas are the cluster's. Guarded by account.mu.
type share struct {
	part    float64 // of the quota; 0: not known yet
	taken   float64 // since the last report
	refused bool    // more would have been taken since
}

// of is what is granted of a limit.
func (s *share) of(limit float64) float64 {
	if s.part == 0 {
		return limit
	}
	return limit * s.part
}
