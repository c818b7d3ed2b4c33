package metastore

import "testing"

func TestRunListKeepsWhatItWasGivenWhileItGrows(t *testing.T) {
	const n = smallRuns + 3*chunkRuns + 5
	var l runList
	var views []runList
	for i := range n {
		if got := l.add(run{base: Offset(10 * i), records: 10}); got != l.at(i) {
			t.Fatalf("run %d is not where it was added", i)
		}
		views = append(views, l)
	}
	for i, view := range views {
		if view.len() != i+1 {
			t.Fatalf("a view of %d runs has %d", i+1, view.len())
		}
		for j := range view.len() {
			if view.at(j).base != Offset(10*j) {
				t.Fatalf("run %d of a view of %d begins at %d", j, i+1, view.at(j).base)
			}
		}
	}
	for i := range n {
		for _, offset := range []Offset{Offset(10 * i), Offset(10*i + 9)} {
			if got := l.find(offset); got != i {
				t.Errorf("offset %d is in run %d, want %d", offset, got, i)
			}
		}
	}
	if got := l.find(10 * n); got != n {
		t.Errorf("the end is in run %d", got)
	}
	for l.len() > 0 {
		l.removeLast()
	}
	if l.add(run{base: 7}); l.at(0).base != 7 || l.len() != 1 {
		t.Error("an emptied list does not grow again")
	}
}
