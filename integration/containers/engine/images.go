package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/runnel-io/runnel/integration/harness"
	"github.com/runnel-io/runnel/integration/image"
)

// BuildImage gives the engine the broker's image, as `make image` makes it, under a name such as runnel:test. The broker is
// RUNNEL_BIN, else built from the checkout around the working directory.
func (e *Engine) BuildImage(ctx context.Context, tag string) error {
	root, err := harness.Repository()
	if err != nil {
		return err
	}
	binary := os.Getenv("RUNNEL_BIN")
	if binary == "" {
		if binary, err = image.Compile(ctx, root, runtime.GOARCH, filepath.Join(root, "bin")); err != nil {
			return err
		}
	}
	made, err := image.New(ctx, root, binary)
	if err != nil {
		return err
	}
	archive, err := image.NewArchive(tag, made)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if _, err := archive.WriteTo(&b); err != nil {
		return err
	}
	return e.Load(ctx, &b)
}

// Load does what `docker load` does.
func (e *Engine) Load(ctx context.Context, archive io.Reader) error {
	answer, err := e.do(ctx, http.MethodPost, "/images/load?quiet=1", "application/x-tar", archive)
	if err != nil {
		return err
	}
	return told(answer)
}

// Build does what `docker build` does, with the builder that every engine has. The context is a tar archive with a
// Dockerfile in it; query holds further parameters of the call, such as buildargs.
func (e *Engine) Build(ctx context.Context, tag, query string, files io.Reader) error {
	answer, err := e.do(ctx, http.MethodPost, "/build?version=1&rm=1&forcerm=1&t="+tag+query, "application/x-tar", files)
	if err != nil {
		return err
	}
	return told(answer)
}

// told is the error in a stream of messages: such calls answer 200 before they know.
func told(answer string) error {
	messages := json.NewDecoder(strings.NewReader(answer))
	for {
		var m struct {
			Error string `json:"error"`
		}
		err := messages.Decode(&m)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("engine: %w in %q", err, answer)
		case m.Error != "":
			return fmt.Errorf("engine: %s", m.Error)
		}
	}
}
