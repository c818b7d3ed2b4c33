package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"
)

// killContainers ends all containers of an engine of our own, which else would be given ten seconds each to stop.
func (e *Engine) killContainers() error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	list, err := e.do(ctx, http.MethodGet, "/containers/json?all=true", "", nil)
	if err != nil {
		return nil // the engine is gone, and they with it
	}
	var containers []struct {
		ID string `json:"Id"`
	}
	if err := json.Unmarshal([]byte(list), &containers); err != nil {
		return fmt.Errorf("list containers: %w", err)
	}
	for _, c := range containers {
		if _, killErr := e.do(ctx, http.MethodDelete, "/containers/"+c.ID+"?force=true&v=true", "", nil); killErr != nil {
			err = errors.Join(err, killErr)
		}
	}
	return err
}

// unmount undoes what a killed engine left mounted below its directory.
func unmount(dir string) error {
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return nil
	}
	var below []string
	for line := range strings.Lines(string(mounts)) {
		if fields := strings.Fields(line); len(fields) > 1 && strings.HasPrefix(fields[1], dir+"/") {
			below = append(below, fields[1])
		}
	}
	slices.Reverse(below) // the innermost first
	for _, path := range below {
		if unmountErr := syscall.Unmount(path, syscall.MNT_DETACH); unmountErr != nil {
			err = errors.Join(err, fmt.Errorf("unmount %s: %w", path, unmountErr))
		}
	}
	return err
}
