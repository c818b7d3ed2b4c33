package image

import (
	"encoding/json"
	"io"
	"slices"
	"strings"
	"time"
)

const (
	indexType    = "application/vnd.oci.image.index.v1+json"
	manifestType = "application/vnd.oci.image.manifest.v1+json"
	configType   = "application/vnd.oci.image.config.v1+json"
	layerType    = "application/vnd.oci.image.layer.v1.tar+gzip"
)

// descriptor names a blob, as OCI has it.
type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int               `json:"size"`
	Platform    *platform         `json:"platform,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

type platform struct {
	Architecture string `json:"architecture"`
	OS           string `json:"os"`
}

type manifest struct {
	SchemaVersion int          `json:"schemaVersion"`
	MediaType     string       `json:"mediaType"`
	Config        descriptor   `json:"config"`
	Layers        []descriptor `json:"layers"`
}

type index struct {
	SchemaVersion int          `json:"schemaVersion"`
	MediaType     string       `json:"mediaType"`
	Manifests     []descriptor `json:"manifests"`
}

// dockerManifest is what `docker load` reads.
type dockerManifest struct {
	Config   string
	RepoTags []string
	Layers   []string
}

// Archive is an OCI image layout in a tar file.
type Archive struct {
	// Digest is that of the manifest, or of the index over the manifests of several platforms: the digest that the image has
	// in a registry.
	Digest  string
	entries []file
	created time.Time
}

// NewArchive puts images of different platforms together, under a name such as runnel:1.2. An archive of one platform is
// also what every `docker load` takes; one of several is for registries and their tools (skopeo, crane, podman).
func NewArchive(name string, images ...*Image) (*Archive, error) {
	a := &Archive{}
	var manifests []descriptor
	var docker []dockerManifest
	for _, i := range images {
		config, layer := a.blob(configType, i.Config), a.blob(layerType, i.Layer)
		m, err := json.Marshal(manifest{2, manifestType, config, []descriptor{layer}})
		if err != nil {
			return nil, err
		}
		d := a.blob(manifestType, m)
		d.Platform = &platform{i.Arch, "linux"}
		manifests = append(manifests, d)
		docker = append(docker, dockerManifest{blobName(config.Digest), []string{name}, []string{blobName(layer.Digest)}})
		a.created = i.created
	}
	top := manifests[0]
	if len(images) > 1 {
		several, err := json.Marshal(index{2, indexType, manifests})
		if err != nil {
			return nil, err
		}
		top = a.blob(indexType, several)
	} else if err := a.add("manifest.json", docker); err != nil {
		return nil, err
	}
	a.Digest = top.Digest
	_, tag, _ := strings.Cut(name, ":")
	top.Annotations = map[string]string{"io.containerd.image.name": name, "org.opencontainers.image.ref.name": tag}
	if err := a.add("index.json", index{2, indexType, []descriptor{top}}); err != nil {
		return nil, err
	}
	return a, a.add("oci-layout", map[string]string{"imageLayoutVersion": "1.0.0"})
}

func blobName(digest string) string { return "blobs/" + strings.Replace(digest, ":", "/", 1) }

func (a *Archive) blob(mediaType string, content []byte) descriptor {
	d := descriptor{MediaType: mediaType, Digest: digest(content), Size: len(content)}
	f := file{blobName(d.Digest), 0o644, 0, content}
	if !slices.ContainsFunc(a.entries, func(there file) bool { return there.name == f.name }) {
		a.entries = append(a.entries, f)
	}
	return d
}

func (a *Archive) add(name string, content any) error {
	b, err := json.Marshal(content)
	a.entries = append(a.entries, file{name, 0o644, 0, b})
	return err
}

// WriteTo writes the tar file.
func (a *Archive) WriteTo(w io.Writer) (int64, error) {
	directories := []file{{"blobs/", 0o755, 0, nil}, {"blobs/sha256/", 0o755, 0, nil}}
	c := &counter{w: w}
	_, err := writeTar(c, append(directories, a.entries...), a.created)
	return c.n, err
}

var _ io.WriterTo = (*Archive)(nil)

type counter struct {
	w io.Writer
	n int64
}

// Write implements io.Writer.
func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}
