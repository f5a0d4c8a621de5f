package buildkit

import (
	"context"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/docker/cli/cli/config"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/session/auth/authprovider"
	"github.com/moby/buildkit/session/secrets/secretsprovider"
	"github.com/tonistiigi/fsutil"

	"github.com/sluice-dev/sluice/internal/build"
	"github.com/sluice-dev/sluice/internal/variables"
)

// frontend is BuildKit's own reader of Dockerfiles.
const frontend = "dockerfile.v0"

// job is one request on a BuildKit that answers.
type job struct {
	op      string
	req     build.Request
	client  *client.Client
	at      endpoint
	sources sources
	mounts  map[string]fsutil.FS
	secrets map[string][]byte
	// attributes are the frontend's, but for the target.
	attributes         map[string]string
	cacheFrom, cacheTo []client.CacheOptionsEntry
	steps              *steps
	hidden             *variables.Masker
	credentials        *keyring
}

// prepare checks everything that can be wrong before a daemon is asked, and then connects to it.
func (b *Builder) prepare(ctx context.Context, op string, req build.Request) (*job, error) {
	j := &job{op: op, req: req, hidden: b.o.Secrets, credentials: &keyring{
		// What cannot be read there is not worth a warning: the registry's answer says it better.
		docker: authprovider.LoadAuthConfig(config.LoadDefaultConfigFile(io.Discard)), ask: b.o.Credentials, known: b.o.Secrets,
	}}
	var err error
	if j.sources, err = findSources(op, req); err != nil {
		return nil, err
	}
	if j.mounts, err = j.sources.mounts(op, req.Epoch()); err != nil {
		return nil, err
	}
	if j.secrets, err = loadSecrets(op, req, b.o.LookupEnv); err != nil {
		return nil, err
	}
	if j.cacheFrom, j.cacheTo, err = caches(op, req); err != nil {
		return nil, err
	}
	j.attributes = attributes(req, j.sources)
	for _, id := range slices.Sorted(maps.Keys(j.secrets)) {
		j.hidden.Keep("secret "+id, string(j.secrets[id]), req.Say)
	}
	j.steps = newSteps(req.Say, j.hidden)
	j.client, j.at, err = b.connect(ctx, op)
	return j, err
}

func (j *job) close() { _ = j.client.Close() }

// attributes are what the frontend is told.
func attributes(req build.Request, s sources) map[string]string {
	attributes := map[string]string{"filename": s.name}
	if s.builtin {
		// With a command line of its own the frontend does not fetch the image of the `# syntax=` line.
		attributes["cmdline"] = "builtin"
	}
	if len(req.Image.Platforms) > 0 {
		attributes["platform"] = strings.Join(req.Image.Platforms, ",")
	}
	attributes["build-arg:SOURCE_DATE_EPOCH"] = strconv.FormatInt(req.Epoch().Unix(), 10)
	for name, value := range req.Image.Args {
		attributes["build-arg:"+name] = value
	}
	for from, pinned := range req.Image.Bases {
		attributes["context:"+from] = "docker-image://" + pinned
	}
	return attributes
}

// options are what every solve of the job has in common. They are made anew for each: BuildKit's client changes them.
func (j *job) options(target string) client.SolveOpt {
	attributes := maps.Clone(j.attributes)
	if target != "" {
		attributes["target"] = target
	}
	return client.SolveOpt{
		FrontendAttrs: attributes, LocalMounts: j.mounts, CacheImports: j.cacheFrom,
		Session: []session.Attachable{
			authprovider.NewDockerAuthProvider(authprovider.DockerAuthProviderConfig{
				AuthConfigProvider: j.credentials.find,
			}),
			secretsprovider.FromMap(j.secrets),
		},
	}
}

// follow starts reading what BuildKit says; the returned function waits until all of it is read.
func (j *job) follow() (chan *client.SolveStatus, func()) {
	statuses := make(chan *client.SolveStatus)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for status := range statuses {
			j.steps.take(status)
		}
	}()
	return statuses, func() { <-done }
}
