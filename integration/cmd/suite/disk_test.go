package main

import (
	"math"
	"strings"
	"testing"
)

func TestFullDiskIsTold(t *testing.T) {
	dir := t.TempDir()
	if err := checkDisk(dir, 1); err != nil {
		t.Error(err)
	}
	if err := checkDisk(dir, math.MaxUint64); err == nil || !strings.Contains(err.Error(), dir+" has ") {
		t.Errorf("a disk that is too full: %v", err)
	}
	if err := checkDisk(dir+"/missing", 1); err == nil {
		t.Error("no error of a directory that is not there")
	}
}
