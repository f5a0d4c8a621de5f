// Package toolchain makes an image of the Go that runs it: what golang:1.26 is to a Dockerfile, for machines without a network.
package toolchain

import (
	"archive/tar"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Push pushes the image under a reference. It holds /usr/local/go and an empty /tmp; it has no shell.
func Push(ctx context.Context, reference string) error {
	ref, err := name.ParseReference(reference)
	if err != nil {
		return err
	}
	file, err := os.CreateTemp("", "sluice-toolchain-")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	if err := errors.Join(pack(ctx, file), file.Close()); err != nil {
		return err
	}
	image, err := imageOf(file.Name())
	if err != nil {
		return err
	}
	return remote.Write(ref, image, remote.WithContext(ctx))
}

func imageOf(layer string) (v1.Image, error) {
	files, err := tarball.LayerFromFile(layer, tarball.WithMediaType(types.OCILayer))
	if err != nil {
		return nil, err
	}
	image, err := mutate.AppendLayers(mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON), files)
	if err != nil {
		return nil, err
	}
	config, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	config.OS, config.Architecture = "linux", runtime.GOARCH
	config.Config.Env = []string{"PATH=/usr/local/go/bin", "HOME=/root"}
	return mutate.ConfigFile(image, config)
}

// pack writes the toolchain, without what only its own tests need.
func pack(ctx context.Context, to io.Writer) error {
	out, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return err
	}
	root, err := filepath.EvalSymlinks(strings.TrimSpace(string(out)))
	if err != nil {
		return err
	}
	archive := tar.NewWriter(to)
	if err := archive.WriteHeader(&tar.Header{Name: "tmp/", Typeflag: tar.TypeDir, Mode: 0o1777}); err != nil {
		return err
	}
	err = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || path == root {
			return err
		}
		relative, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		if top := strings.Split(relative, "/")[0]; entry.IsDir() && (entry.Name() == "testdata" || top == "test" || top == "api" || top == "doc") {
			return filepath.SkipDir
		}
		return add(archive, path, "usr/local/go/"+relative, entry)
	})
	return errors.Join(err, archive.Close())
}

// add writes a regular file; anything else is left out.
func add(archive *tar.Writer, path, name string, entry fs.DirEntry) error {
	info, err := entry.Info()
	if err != nil || !info.Mode().IsRegular() {
		return err
	}
	if err := archive.WriteHeader(&tar.Header{Name: name, Mode: int64(info.Mode().Perm()), Size: info.Size()}); err != nil {
		return err
	}
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	_, err = io.Copy(archive, file)
	return errors.Join(err, file.Close())
}
