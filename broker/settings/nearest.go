package settings

// Nearest returns the known name that a mistyped one most likely means, or "" if none is near: at most a third of the
// letters differ. Names come from clients, so those that differ too much in length already are not compared: each
// comparison takes time in proportion to both lengths.
func Nearest(name string, known []string) string {
	best, distance := "", len(name)/3+1
	for _, candidate := range known {
		if max(len(name)-len(candidate), len(candidate)-len(name)) >= distance {
			continue
		}
		if d := editDistance(name, candidate); d < distance {
			best, distance = candidate, d
		}
	}
	return best
}

// editDistance is the least number of inserted, removed, replaced and exchanged neighboring bytes.
func editDistance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row[0] = i + 1
		for j := range len(b) {
			replaced := last[j]
			if a[i] != b[j] {
				replaced++
			}
			row[j+1] = min(replaced, last[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
