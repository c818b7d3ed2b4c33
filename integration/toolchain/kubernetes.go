package toolchain

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// KubernetesSchemas fetches the JSON schemas of the Kubernetes API, of the versions named, from the Python package that a
// requirements file pins by its hash, and returns a directory with a directory for each version: "v1.37.0". They refuse
// fields that the API does not know.
func (c Cache) KubernetesSchemas(ctx context.Context, requirements string, versions ...string) (string, error) {
	name, err := named("kubernetes-schemas-"+strings.Join(versions, "-"), requirements)
	if err != nil {
		return "", err
	}
	if requirements, err = filepath.Abs(requirements); err != nil {
		return "", err
	}
	return c.install(name, func(dir string) error {
		if err := c.run(ctx, dir, nil, "python3", "-m", "venv", "venv"); err != nil {
			return fmt.Errorf("%w (Debian: apt-get install python3-venv)", err)
		}
		if err := c.run(ctx, dir, []string{"PIP_DISABLE_PIP_VERSION_CHECK=1", "PIP_NO_INPUT=1"}, filepath.Join(dir, "venv/bin/python"),
			"-m", "pip", "download", "--quiet", "--no-cache-dir", "--no-deps", "--only-binary", ":all:", "--require-hashes", "--dest", "wheel", "--requirement", requirements); err != nil {
			return err
		}
		wheels, err := filepath.Glob(filepath.Join(dir, "wheel", "*.whl"))
		if err != nil || len(wheels) != 1 {
			return fmt.Errorf("%d wheels: %w", len(wheels), err)
		}
		for _, version := range versions {
			if err := unpackSchemas(wheels[0], version, filepath.Join(dir, version)); err != nil {
				return err
			}
		}
		for _, leftover := range []string{"venv", "wheel"} {
			if err := os.RemoveAll(filepath.Join(dir, leftover)); err != nil {
				return err
			}
		}
		return nil
	})
}

// unpackSchemas writes the strict schemas of a version.
func unpackSchemas(wheel, version, dir string) error {
	archive, err := zip.OpenReader(wheel)
	if err != nil {
		return err
	}
	defer archive.Close()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	const most = 16 << 20
	found := 0
	for _, file := range archive.File {
		if path.Dir(file.Name) != "kubernetes_validate/kubernetes-json-schema/"+version+"-local-strict" {
			continue
		}
		r, err := file.Open()
		if err != nil {
			return err
		}
		schema, err := io.ReadAll(io.LimitReader(r, most))
		r.Close()
		if err != nil {
			return fmt.Errorf("unpack %s: %w", file.Name, err)
		}
		if schema, err = relative(schema); err != nil {
			return fmt.Errorf("unpack %s: %w", file.Name, err)
		}
		if err := os.WriteFile(filepath.Join(dir, path.Base(file.Name)), schema, 0o644); err != nil {
			return err
		}
		found++
	}
	if found == 0 {
		return fmt.Errorf("%s has no schemas of Kubernetes %s", filepath.Base(wheel), version)
	}
	return nil
}

// relative makes the references of a schema, which are to a place that the package's own program serves, to the file beside
// it. Its $id would put it there, too.
func relative(schema []byte) ([]byte, error) {
	var keys map[string]json.RawMessage
	if err := json.Unmarshal(bytes.ReplaceAll(schema, []byte(`"/api/_definitions.json`), []byte(`"_definitions.json`)), &keys); err != nil {
		return nil, err
	}
	delete(keys, "$id")
	return json.Marshal(keys)
}
