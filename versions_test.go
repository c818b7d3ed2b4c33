package runnel_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

var (
	appVersion   = regexp.MustCompile(`(?m)^appVersion: "?([0-9.]+)"?$`)
	namedVersion = regexp.MustCompile(`\brunnel:([0-9]+\.[0-9]+\.[0-9]+)\b|\?ref=v([0-9]+\.[0-9]+\.[0-9]+)`)
)

// TestTheVersionsThatAreNamedAreOne: the chart's image, and those that Terraform and the documents name.
func TestTheVersionsThatAreNamedAreOne(t *testing.T) {
	chart, err := os.ReadFile("helm/runnel/Chart.yaml")
	if err != nil {
		t.Fatal(err)
	}
	of := appVersion.FindSubmatch(chart)
	if of == nil {
		t.Fatal("the chart has no appVersion")
	}
	seen := 0
	for _, dir := range []string{"terraform", "docs", "helm"} {
		err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			for _, named := range namedVersion.FindAllSubmatch(content, -1) {
				seen++
				if got := string(named[1]) + string(named[2]); got != string(of[1]) {
					t.Errorf("%s names version %s, the chart is of %s", path, got, of[1])
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if seen < 5 {
		t.Errorf("%d versions are named; the pattern misses those that are", seen)
	}
}
