package main

import (
	"fmt"
	"os"
	"syscall"
)

// leastDisk is what all tiers together take at a time, and some; what Go caches when it compiles comes on top.
const leastDisk = 6 << 30

// checkDisk says before anything runs that the disk is too full: later that looks like a dozen different faults.
func checkDisk(dir string, least uint64) error {
	free, err := freeBytes(dir)
	if err != nil {
		return err
	}
	if free < least {
		return fmt.Errorf("%s has %.1f GiB free, and the tests need %.1f: make room, or set TMPDIR", dir, gib(free), gib(least))
	}
	return nil
}

func freeBytes(dir string) (uint64, error) {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil {
		return 0, &os.PathError{Op: "look at the disk of", Path: dir, Err: err}
	}
	return fs.Bavail * uint64(fs.Bsize), nil
}

func gib(bytes uint64) float64 { return float64(bytes) / (1 << 30) }
