package ko

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/sluice-dev/sluice/internal/fault"
)

const (
	// user is the id that distroless images call nonroot. A number, so that Kubernetes can see that it is not root.
	user = 65532
	// appDir and dataDir are where ko puts things.
	appDir  = "ko-app"
	dataDir = "var/run/ko"
)

// base is what images are built on: an empty image, or a fetched one.
type base struct {
	op, reference string
	fetched       *remote.Descriptor
}

func (b *Builder) base(ctx context.Context, op, reference string) (base, error) {
	if reference == "" {
		return base{op: op}, nil
	}
	if b.o.Base == nil {
		return base{}, fault.New(fault.Usage, op, "base image %s: this builder has no registry to fetch it from", reference)
	}
	fetched, err := b.o.Base(ctx, reference)
	if err != nil {
		return base{}, &fault.Error{Op: op + ": base image", Kind: fault.KindOf(err), Err: err, Hint: fault.HintOf(err)}
	}
	return base{op: op, reference: reference, fetched: fetched}, nil
}

// image is the base for a platform.
func (b base) image(platform v1.Platform) (v1.Image, error) {
	if b.fetched == nil {
		return bare()
	}
	if !b.fetched.MediaType.IsIndex() {
		image, err := b.fetched.Image()
		if err != nil {
			return nil, fault.New(fault.Usage, b.op, "base image %s is none: %w", b.reference, err)
		}
		config, err := image.ConfigFile()
		if err != nil {
			return nil, fault.New(fault.Unreachable, b.op, "read base image %s: %w", b.reference, err)
		}
		if have := config.Platform(); have != nil && have.Architecture != "" && !have.Satisfies(platform) {
			return nil, fault.New(fault.Usage, b.op, "base image %s is for %s, not for %s", b.reference, have, platform)
		}
		return image, nil
	}
	index, err := b.fetched.ImageIndex()
	if err != nil {
		return nil, fault.New(fault.Usage, b.op, "base image %s is none: %w", b.reference, err)
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		return nil, fault.New(fault.Unreachable, b.op, "read base image %s: %w", b.reference, err)
	}
	for _, m := range manifest.Manifests {
		if m.Platform != nil && m.Platform.Satisfies(platform) {
			image, err := index.Image(m.Digest)
			return image, fault.Wrap(fault.Unreachable, b.op+": read base image "+b.reference, err)
		}
	}
	return nil, fault.New(fault.Usage, b.op, "base image %s is not made for %s", b.reference, platform).
		WithHint("take the platform out of platforms:, or another base:")
}

// bare is an image of almost nothing: names for the user, and a place for temporary files. CA certificates are not in it, as they
// would have to come from the building machine; a program that calls https needs a `base:` that has them.
func bare() (v1.Image, error) {
	const passwd = "root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n"
	layer, err := pack(types.OCILayer, []entry{
		{name: "etc/", mode: 0o755},
		{name: "etc/group", mode: 0o644, data: []byte("root:x:0:\nnonroot:x:65532:\n")},
		{name: "etc/passwd", mode: 0o644, data: []byte(passwd)},
		{name: "home/", mode: 0o755},
		{name: "home/nonroot/", mode: 0o700, owner: user},
		{name: "tmp/", mode: 0o1777},
	})
	if err != nil {
		return nil, err
	}
	image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	return mutate.AppendLayers(image, layer)
}

// assemble puts the binary and the data of the package on a base.
func assemble(under v1.Image, platform v1.Platform, name, binary, dir string) (v1.Image, error) {
	program, err := os.ReadFile(binary)
	if err != nil {
		return nil, err
	}
	data, err := kodata(filepath.Join(dir, "kodata"))
	if err != nil {
		return nil, err
	}
	format, err := layerFormat(under)
	if err != nil {
		return nil, err
	}
	var addenda []mutate.Addendum
	for _, l := range []struct {
		what    string
		entries []entry
	}{
		{"data", data},
		{"program", []entry{{name: appDir + "/", mode: 0o755}, {name: appDir + "/" + name, mode: 0o755, data: program}}},
	} {
		layer, err := pack(format, l.entries)
		if err != nil {
			return nil, err
		}
		addenda = append(addenda, mutate.Addendum{Layer: layer, History: v1.History{CreatedBy: "sluice", Comment: l.what}})
	}
	image, err := mutate.Append(under, addenda...)
	if err != nil {
		return nil, err
	}
	config, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	return mutate.ConfigFile(image, configure(config.DeepCopy(), platform, name))
}

// layerFormat is the media type of layers that goes with the base's manifest: some registries refuse Docker's and OCI's in one image.
func layerFormat(under v1.Image) (types.MediaType, error) {
	format, err := under.MediaType()
	if err != nil {
		return "", err
	}
	if format == types.DockerManifestSchema2 {
		return types.DockerLayer, nil
	}
	return types.OCILayer, nil
}

func configure(config *v1.ConfigFile, platform v1.Platform, name string) *v1.ConfigFile {
	config.OS, config.Architecture, config.Variant = platform.OS, platform.Architecture, platform.Variant
	config.Created, config.Author, config.Container = v1.Time{}, "", ""
	config.Config.Entrypoint, config.Config.Cmd = []string{"/" + appDir + "/" + name}, nil
	config.Config.User = fmt.Sprintf("%d:%d", user, user)
	config.Config.WorkingDir = "/"
	config.Config.Env = slices.DeleteFunc(config.Config.Env, func(v string) bool { return strings.HasPrefix(v, "KO_DATA_PATH=") })
	if !slices.ContainsFunc(config.Config.Env, func(v string) bool { return strings.HasPrefix(v, "PATH=") }) {
		config.Config.Env = append(config.Config.Env, "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/"+appDir)
	}
	config.Config.Env = append(config.Config.Env, "KO_DATA_PATH=/"+dataDir)
	return config
}

// kodata is what lies in the package's folder of that name; links are followed. Where there is none, the folder is empty.
func kodata(dir string) ([]entry, error) {
	entries := []entry{{name: "var/", mode: 0o755}, {name: "var/run/", mode: 0o755}, {name: dataDir + "/", mode: 0o755}}
	info, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return entries, nil
	}
	if err != nil || !info.IsDir() {
		return nil, fmt.Errorf("%s is no readable folder: %w", dir, err)
	}
	err = filepath.WalkDir(dir, func(file string, d fs.DirEntry, err error) error {
		if err != nil || file == dir {
			return err
		}
		relative, err := filepath.Rel(dir, file)
		if err != nil {
			return err
		}
		name := path.Join(dataDir, filepath.ToSlash(relative))
		if d.IsDir() {
			entries = append(entries, entry{name: name + "/", mode: 0o755})
			return nil
		}
		info, err := os.Stat(file)
		if err != nil {
			return err
		}
		if !info.Mode().IsRegular() {
			return fmt.Errorf("%s is no regular file", file)
		}
		data, err := os.ReadFile(file)
		entries = append(entries, entry{name: name, mode: 0o444 | int64(info.Mode()&0o111), data: data})
		return err
	})
	return entries, err
}

// entry is a file of a layer, or a folder where the name ends in a slash.
type entry struct {
	name  string
	mode  int64
	owner int
	data  []byte
}

// pack makes a layer in which everything dates from 1970 and belongs to root unless said otherwise.
func pack(format types.MediaType, entries []entry) (v1.Layer, error) {
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	for _, e := range entries {
		header := &tar.Header{Typeflag: tar.TypeReg, Name: e.name, Mode: e.mode, Uid: e.owner, Gid: e.owner, Size: int64(len(e.data)), ModTime: time.Unix(0, 0)}
		if strings.HasSuffix(e.name, "/") {
			header.Typeflag = tar.TypeDir
		}
		if err := w.WriteHeader(header); err != nil {
			return nil, err
		}
		if _, err := w.Write(e.data); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(archive.Bytes())), nil }
	// Fast rather than small, and compressed only once: this is waited for.
	return tarball.LayerFromOpener(open, tarball.WithMediaType(format),
		tarball.WithCompressionLevel(gzip.BestSpeed), tarball.WithCompressedCaching)
}
