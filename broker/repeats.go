package broker

// once leaves out what a request names once more. An answer may be a thousand times as large as the question, so that a
// question repeated a million times in one request would not fit any memory.
func once[T any, K comparable](asked []T, name func(T) K) []T {
	seen := make(map[K]bool, len(asked))
	kept := make([]T, 0, len(asked))
	for _, a := range asked {
		if k := name(a); !seen[k] {
			seen[k] = true
			kept = append(kept, a)
		}
	}
	return kept
}
