package batching

// RecentCost is the memory that Recent counts.
func (w *Writer) RecentCost() int64 {
	cost, _, _ := w.recent.stats()
	return cost
}
