package engine

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

func TestAnEngineTakesTheImageAndLeavesNothing(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	e, err := Start(ctx)
	if errors.Is(err, ErrNone) && os.Getenv("CI") != "true" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	stopped := false
	defer func() {
		if !stopped {
			_ = e.Stop()
		}
	}()
	if err := e.BuildImage(ctx, "runnel:engine-test"); err != nil {
		t.Fatal(err)
	}
	about, err := e.do(ctx, http.MethodGet, "/images/runnel:engine-test/json", "", nil)
	if err != nil || !strings.Contains(about, `"/runnel","health"`) {
		t.Errorf("the engine says of the image: %v %s", err, about)
	}
	if err := e.Load(ctx, strings.NewReader("no archive")); err == nil {
		t.Error("the engine took what is no archive")
	}
	if e.dir == "" {
		if _, err := e.do(ctx, http.MethodDelete, "/images/runnel:engine-test", "", nil); err != nil {
			t.Error(err)
		}
		return // not ours to stop
	}
	stopped = true
	if err := e.Stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(e.dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is left: %v", e.dir, err)
	}
	if _, err := net.InterfaceByName(e.net.bridge); err == nil {
		t.Errorf("%s is left", e.net.bridge)
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil || strings.Contains(string(mounts), e.dir) {
		t.Errorf("mounts are left: %v %s", err, mounts)
	}
}
