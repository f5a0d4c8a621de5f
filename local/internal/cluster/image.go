package cluster

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// pushPause assembles the image that holds pods' namespaces open, of one program, and puts it into the registry.
func pushPause(ctx context.Context, reference, program string) error {
	binary, err := os.ReadFile(program)
	if err != nil {
		return fmt.Errorf("read the pause program: %w", err)
	}
	var archive bytes.Buffer
	writer := tar.NewWriter(&archive)
	header := &tar.Header{Name: "pause", Mode: 0o755, Size: int64(len(binary)), Typeflag: tar.TypeReg}
	if err := writer.WriteHeader(header); err != nil {
		return fmt.Errorf("pack the pause image: %w", err)
	}
	if _, err := writer.Write(binary); err != nil {
		return fmt.Errorf("pack the pause image: %w", err)
	}
	if err := writer.Close(); err != nil {
		return fmt.Errorf("pack the pause image: %w", err)
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(archive.Bytes())), nil
	})
	if err != nil {
		return fmt.Errorf("pack the pause image: %w", err)
	}
	image, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		return fmt.Errorf("pack the pause image: %w", err)
	}
	image, err = describe(image)
	if err != nil {
		return fmt.Errorf("pack the pause image: %w", err)
	}
	target, err := name.ParseReference(reference, name.Insecure)
	if err != nil {
		return fmt.Errorf("name of the pause image: %w", err)
	}
	// The registry is this machine's own: no proxy stands between.
	if err := remote.Write(target, image, remote.WithContext(ctx), remote.WithTransport(&http.Transport{})); err != nil {
		return fmt.Errorf("push the pause image: %w", err)
	}
	return nil
}

func describe(image v1.Image) (v1.Image, error) {
	config, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", runtime.GOARCH
	config.Config.Entrypoint = []string{"/pause"}
	config.Config.User = "65535:65535"
	return mutate.ConfigFile(image, config)
}
