package toolchain

import (
	"archive/zip"
	"os"
	"path/filepath"
	"testing"
)

func TestSchemasReferToTheFileBesideThem(t *testing.T) {
	dir := t.TempDir()
	wheel := filepath.Join(dir, "schemas.whl")
	const below = "kubernetes_validate/kubernetes-json-schema/v1.37.0-local-strict/"
	writeZip(t, wheel, map[string]string{
		below + "pod-v1.json":       `{"$id":"https://kubernetes.io/api/pod/v1","properties":{"metadata":{"$ref":"/api/_definitions.json#/$defs/Meta"}}}`,
		below + "_definitions.json": `{"$id":"https://kubernetes.io/api/_definitions.json","$defs":{"Meta":{"type":"object"}}}`,
		"kubernetes_validate/kubernetes-json-schema/v1.37.0-local/pod-v1.json": `{}`,
	})
	to := filepath.Join(dir, "v1.37.0")
	if err := unpackSchemas(wheel, "v1.37.0", to); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"pod-v1.json":       `{"properties":{"metadata":{"$ref":"_definitions.json#/$defs/Meta"}}}`,
		"_definitions.json": `{"$defs":{"Meta":{"type":"object"}}}`,
	} {
		got, err := os.ReadFile(filepath.Join(to, name))
		if err != nil || string(got) != want {
			t.Errorf("%s is %s, not %s (%v)", name, got, want, err)
		}
	}
	if err := unpackSchemas(wheel, "v1.99.0", filepath.Join(dir, "v1.99.0")); err == nil {
		t.Error("a version that is not there is unpacked")
	}
}

func writeZip(t *testing.T, path string, files map[string]string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := zip.NewWriter(f)
	for name, text := range files {
		file, err := w.Create(name)
		if err == nil {
			_, err = file.Write([]byte(text))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}
