// Package buildkit is the build.Builder of Dockerfiles, by a BuildKit that runs elsewhere; it must not push, and it keeps no state.
package buildkit

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	"github.com/sirupsen/logrus"

	"github.com/sluice-dev/sluice/internal/build"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/variables"
)

var (
	_ build.Builder = (*Builder)(nil)
	_ build.Tester  = (*Builder)(nil)
)

// Options of the builder.
type Options struct {
	// Address of the BuildKit: unix://, tcp://, docker-container://, podman-container://, kube-pod://, or docker for Docker's own.
	// A tcp:// address says behind a ? how TLS is spoken: tlscacert=file, tlscert=file and tlskey=file, tlsservername=name, as buildctl's flags are
	// called. Default: what the environment says, see Builder.
	Address string
	// Dir is where relative paths in Address start. Default: the working folder.
	Dir string
	// LookupEnv reads the process's environment. Default: os.LookupEnv.
	LookupEnv func(string) (string, bool)
	// Local returns the address of the local cluster's BuildKit, "" where there is none. Default: none.
	Local func(ctx context.Context) string
	// DockerSocket is where Docker listens unless $DOCKER_HOST says otherwise. Default: /var/run/docker.sock.
	DockerSocket string
	// Credentials gives those of this run for a registry of which Docker keeps none; empty where it has none. Default: it has none.
	Credentials func(ctx context.Context, host string) (user, secret string, err error)
	// Secrets learns of the secrets of images and of the credentials of registries, and takes them out of what builds print. Default: one
	// of its own.
	Secrets *variables.Masker
}

// Builder builds images from Dockerfiles. It is safe for concurrent use.
//
// Its BuildKit is the one of Options.Address, else of $BUILDKIT_HOST, else Docker's own ($DOCKER_HOST, or its usual socket where somebody
// answers there), else the local cluster's.
type Builder struct{ o Options }

// New makes a builder; it connects to nothing yet.
func New(o Options) *Builder {
	if o.LookupEnv == nil {
		o.LookupEnv = os.LookupEnv
	}
	if o.Secrets == nil {
		o.Secrets = &variables.Masker{}
	}
	if o.DockerSocket == "" {
		o.DockerSocket = "/var/run/docker.sock"
	}
	// The client's libraries warn about themselves on stderr, between the lines of people's progress.
	logrus.SetLevel(logrus.ErrorLevel)
	return &Builder{o: o}
}

// Build builds the Dockerfile's target for every platform into an OCI layout in <dir>/<image name>.
//
// The same sources and base images give the same digest as far as the Dockerfile's steps do: everything is dated by the commit, and
// files arrive with the modes that Git keeps, whoever checked them out.
func (b *Builder) Build(ctx context.Context, req build.Request, dir string) (build.Image, error) {
	op := "build " + req.Image.Dockerfile
	path := filepath.Join(dir, req.Name)
	job, err := b.prepare(ctx, op, req)
	if err != nil {
		return build.Image{}, err
	}
	defer job.close()
	opt := job.options(req.Image.Target)
	opt.Frontend = frontend
	opt.CacheExports = job.cacheTo
	opt.Exports = []client.ExportEntry{{
		Type: client.ExporterOCI, OutputDir: path,
		Attrs: map[string]string{"tar": "false", "oci-mediatypes": "true", "rewrite-timestamp": "true"},
	}}
	statuses, wait := job.follow()
	response, err := job.client.Solve(ctx, nil, opt, statuses)
	wait()
	if err != nil {
		return build.Image{}, job.failure(ctx, err)
	}
	digest := response.ExporterResponse[exptypes.ExporterImageDigestKey]
	if err := checkLayout(path, digest); err != nil {
		return build.Image{}, fault.New(fault.Internal, op, "BuildKit wrote something else than it says: %w", err)
	}
	if asRoot, err := runsAsRoot(path); err != nil {
		return build.Image{}, fault.New(fault.Internal, op, "read what was built: %w", err)
	} else if asRoot {
		req.Say("warning: the image runs as root, which clusters with the restricted policy refuse: add a line such as USER 65532 to its last stage")
	}
	return build.Image{Layout: path, Digest: digest}, nil
}

// checkLayout makes sure that a layout has one entry, and that it is the one that was announced.
func checkLayout(path, digest string) error {
	data, err := os.ReadFile(filepath.Join(path, "index.json"))
	if err != nil {
		return err
	}
	var index struct {
		Manifests []struct {
			Digest string `json:"digest"`
		} `json:"manifests"`
	}
	if err := json.Unmarshal(data, &index); err != nil {
		return err
	}
	if digest == "" || len(index.Manifests) != 1 || index.Manifests[0].Digest != digest {
		return errors.New("the layout " + path + " does not hold " + digest + " alone")
	}
	return nil
}
