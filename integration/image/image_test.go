package image

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/x509"
	"debug/buildinfo"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// entries reads a tar archive.
func entries(t *testing.T, r io.Reader) (headers map[string]*tar.Header, contents map[string][]byte) {
	t.Helper()
	headers, contents = make(map[string]*tar.Header), make(map[string][]byte)
	for archive := tar.NewReader(r); ; {
		h, err := archive.Next()
		if err == io.EOF {
			return headers, contents
		}
		if err != nil {
			t.Fatal(err)
		}
		if headers[h.Name] != nil {
			t.Errorf("%s is there twice", h.Name)
		}
		headers[h.Name] = h
		if contents[h.Name], err = io.ReadAll(archive); err != nil {
			t.Fatal(err)
		}
	}
}

// blob returns what a descriptor names, which must be as it says.
func blob(t *testing.T, archive map[string][]byte, d descriptor) []byte {
	t.Helper()
	b, ok := archive[blobName(d.Digest)]
	if !ok || digest(b) != d.Digest || len(b) != d.Size {
		t.Fatalf("the archive has no %+v", d)
	}
	return b
}

func decode[T any](t *testing.T, b []byte) (v T) {
	t.Helper()
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatalf("%v: %s", err, b)
	}
	return v
}

// own is the image of this test's program: any binary of Go will do.
func own(t *testing.T) *Image {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	i, err := New(t.Context(), "../..", path)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func write(t *testing.T, name string, images ...*Image) (*Archive, map[string][]byte) {
	t.Helper()
	a, err := NewArchive(name, images...)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if n, err := a.WriteTo(&b); err != nil || n != int64(b.Len()) {
		t.Fatalf("wrote %d bytes and says %d: %v", b.Len(), n, err)
	}
	_, contents := entries(t, &b)
	return a, contents
}

// TestArchiveIsWhatItsReadersExpect follows an archive from its index to the files, as a registry's tools do, and from the
// manifest that `docker load` reads.
func TestArchiveIsWhatItsReadersExpect(t *testing.T) {
	a, archive := write(t, "runnel:1.2", own(t))
	if v := decode[map[string]string](t, archive["oci-layout"])["imageLayoutVersion"]; v != "1.0.0" {
		t.Errorf("layout %q", v)
	}
	top := decode[index](t, archive["index.json"]).Manifests
	if len(top) != 1 || top[0].Digest != a.Digest || top[0].Annotations["org.opencontainers.image.ref.name"] != "1.2" || top[0].Platform.Architecture != runtime.GOARCH {
		t.Fatalf("index: %+v", top)
	}
	m := decode[manifest](t, blob(t, archive, top[0]))
	config := decode[configuration](t, blob(t, archive, m.Config))
	if config.Config.User != "65532:65532" || config.OS != "linux" || config.Config.Healthcheck.Test[2] != "health" {
		t.Errorf("configuration: %+v", config)
	}
	unpacked, err := gzip.NewReader(bytes.NewReader(blob(t, archive, m.Layers[0])))
	if err != nil {
		t.Fatal(err)
	}
	layer, err := io.ReadAll(unpacked)
	if err != nil {
		t.Fatal(err)
	}
	if id := config.RootFS.DiffIDs; len(id) != 1 || id[0] != digest(layer) {
		t.Errorf("the layer is %s, and %v by the configuration", digest(layer), id)
	}
	headers, contents := entries(t, bytes.NewReader(layer))
	for name, h := range headers {
		owner := 0
		if name == "data/" {
			owner = 65532
		}
		if h.Uid != owner || h.Gid != owner || h.Mode&0o022 != 0 {
			t.Errorf("%s: owner %d:%d, mode %o", name, h.Uid, h.Gid, h.Mode)
		}
	}
	if !bytes.Contains(contents["licenses/LICENSE"], []byte("Apache License")) || !bytes.Contains(contents["licenses/THIRD_PARTY_NOTICES"], []byte("Go's standard library")) {
		t.Errorf("it has no licenses: %q", slices.Sorted(maps.Keys(contents)))
	}
	if headers["runnel"].Mode != 0o755 || len(contents["runnel"]) < 1e6 {
		t.Errorf("the program: %+v", headers["runnel"])
	}
	docker := decode[[]dockerManifest](t, archive["manifest.json"])
	if len(docker) != 1 || archive[docker[0].Config] == nil || archive[docker[0].Layers[0]] == nil || docker[0].RepoTags[0] != "runnel:1.2" {
		t.Errorf("for docker load: %+v", docker)
	}
}

func TestArchiveOfSeveralPlatforms(t *testing.T) {
	one := own(t)
	two := *one
	two.Arch = "arm64"
	two.Config = bytes.Replace(one.Config, []byte(`"architecture":"`+one.Arch), []byte(`"architecture":"arm64`), 1)
	one.Arch = "amd64"
	a, archive := write(t, "runnel:1.2", one, &two)
	top := decode[index](t, archive["index.json"]).Manifests
	if len(top) != 1 || top[0].Digest != a.Digest || top[0].MediaType != indexType {
		t.Fatalf("index: %+v", top)
	}
	platforms := decode[index](t, blob(t, archive, top[0])).Manifests
	if len(platforms) != 2 || platforms[0].Platform.Architecture != "amd64" || platforms[1].Platform.Architecture != "arm64" || archive["manifest.json"] != nil {
		t.Errorf("platforms: %+v", platforms)
	}
}

// TestAuthorities: the file is one that Go reads, with those that sign for AWS.
func TestAuthorities(t *testing.T) {
	pool, n, amazon := x509.NewCertPool(), 0, false
	if !pool.AppendCertsFromPEM(authorities()) {
		t.Fatal("no certificate was read")
	}
	for rest := authorities(); ; n++ {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		amazon = amazon || c.Subject.CommonName == "Amazon Root CA 1"
	}
	if n < 50 || !amazon {
		t.Errorf("%d authorities, Amazon's among them: %v", n, amazon)
	}
}

// checkNotices: the license of each module that the binary says it is linked with is among the notices, below its name.
func checkNotices(t *testing.T, binary string) {
	t.Helper()
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	text, err := Notices(t.Context(), binary)
	if err != nil {
		t.Fatal(err)
	}
	notices := string(text)
	for _, m := range info.Deps {
		if !strings.Contains(notices, "\n"+m.Path+" "+m.Version+"\n") {
			t.Errorf("no license of %s %s", m.Path, m.Version)
		}
	}
	if len(info.Deps) < 30 || strings.Count(notices, "Apache License\n") == 0 || !strings.Contains(notices, "Go's standard library, "+runtime.Version()+"\n") ||
		!strings.Contains(notices, "Copyright (c) 2013-2021 Jack Christensen") {
		t.Errorf("%d modules, and notices of %d bytes", len(info.Deps), len(notices))
	}
}

// TestSameCommitSameDigest makes the image twice, from clones at different places that were made at different times, with
// different things in the environment.
func TestSameCommitSameDigest(t *testing.T) {
	root, err := exec.CommandContext(t.Context(), "git", "rev-parse", "--show-toplevel").Output()
	if err != nil {
		t.Fatalf("git: %v", err)
	}
	head, err := exec.CommandContext(t.Context(), "git", "rev-parse", "HEAD").Output()
	if err != nil {
		t.Fatalf("git: %v", err)
	}
	var digests []string
	for _, goflags := range []string{"", "-tags=something"} {
		t.Setenv("GOFLAGS", goflags)
		t.Setenv("GOAMD64", map[bool]string{true: "v1", false: "v3"}[goflags == ""])
		clone := filepath.Join(t.TempDir(), "a"+hex.EncodeToString([]byte(goflags)))
		if out, err := exec.CommandContext(t.Context(), "git", "clone", "--quiet", strings.TrimSpace(string(root)), clone).CombinedOutput(); err != nil {
			t.Fatalf("git clone: %v\n%s", err, out)
		}
		binary, err := Compile(t.Context(), clone, runtime.GOARCH, filepath.Join(clone, "dist"))
		if err != nil {
			t.Fatal(err)
		}
		build, err := ReadBuild(binary)
		if err != nil || build.Revision != strings.TrimSpace(string(head)) || build.Time.Year() < 2020 || strings.Contains(build.Version, "dirty") || build.Version == "(devel)" {
			t.Errorf("the binary was built from %+v, %v; want commit %s", build, err, head)
		}
		checkNotices(t, binary)
		i, err := New(t.Context(), clone, binary)
		if err != nil {
			t.Fatal(err)
		}
		a, err := NewArchive("runnel:test", i)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: %.1f MB compressed, %.1f MB not", a.Digest, float64(len(i.Layer))/1e6, float64(i.Size)/1e6)
		if i.Size > 40e6 {
			t.Errorf("the image has %d bytes", i.Size)
		}
		digests = append(digests, a.Digest)
	}
	if digests[0] != digests[1] {
		t.Errorf("two digests of one commit: %v", digests)
	}
}
