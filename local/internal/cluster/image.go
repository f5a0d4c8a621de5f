package cluster

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// pushProgram assembles an image of one program, which needs nothing else, and puts it into the registry.
func pushProgram(ctx context.Context, reference, program string) error {
	binary, err := os.ReadFile(program)
	if err != nil {
		return fmt.Errorf("read the program of image %s: %w", reference, err)
	}
	file := filepath.Base(program)
	var archive bytes.Buffer
	writer := tar.NewWriter(&archive)
	header := &tar.Header{Name: file, Mode: 0o755, Size: int64(len(binary)), Typeflag: tar.TypeReg}
	if err := writer.WriteHeader(header); err != nil {
		return fmt.Errorf("pack image %s: %w", reference, err)
	}
	if _, err := writer.Write(binary); err != nil {
		return fmt.Errorf("pack image %s: %w", reference, err)
	}
	if err := writer.Close(); err != nil {
		return fmt.Errorf("pack image %s: %w", reference, err)
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(archive.Bytes())), nil
	})
	if err != nil {
		return fmt.Errorf("pack image %s: %w", reference, err)
	}
	image, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		return fmt.Errorf("pack image %s: %w", reference, err)
	}
	image, err = describe(image, file)
	if err != nil {
		return fmt.Errorf("pack image %s: %w", reference, err)
	}
	target, err := name.ParseReference(reference, name.Insecure)
	if err != nil {
		return fmt.Errorf("name of image %s: %w", reference, err)
	}
	// The registry is this machine's own: no proxy stands between.
	if err := remote.Write(target, image, remote.WithContext(ctx), remote.WithTransport(&http.Transport{})); err != nil {
		return fmt.Errorf("push image %s: %w", reference, err)
	}
	return nil
}

func describe(image v1.Image, file string) (v1.Image, error) {
	config, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", runtime.GOARCH
	config.Config.Entrypoint = []string{"/" + file}
	config.Config.User = "65535:65535"
	return mutate.ConfigFile(image, config)
}
