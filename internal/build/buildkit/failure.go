package buildkit

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/moby/buildkit/solver/errdefs"
	"github.com/moby/buildkit/util/grpcerrors"
	"github.com/opencontainers/go-digest"
	"google.golang.org/grpc/codes"

	"github.com/sluice-dev/sluice/internal/fault"
)

// failure is a failed build as people read it: the step, its place in the Dockerfile, why, and last what it printed.
func (j *job) failure(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fault.Wrap(fault.Interrupted, j.op, ctx.Err())
	}
	why := j.steps.hide(reason(err))
	if e := j.known(why, grpcerrors.Code(err)); e != nil {
		return e
	}
	name, tail := j.steps.find(failedVertex(err))
	text := why + place(err, j.req.Image.Dockerfile)
	if name != "" {
		text = "step " + name + " failed" + place(err, j.req.Image.Dockerfile) + ": " + why
	}
	if tail != "" {
		text += "\n" + tail
	}
	return fault.New(fault.Usage, j.op, "%s", text)
}

// known are the failures that are none of the Dockerfile's.
func (j *job) known(why string, code codes.Code) *fault.Error {
	matches := func(pattern string) bool { return regexp.MustCompile(pattern).MatchString(why) }
	switch {
	case strings.Contains(why, "did not complete successfully"):
		// A step's own command failed, whatever words it has in it.
		return nil
	case matches(`exporter "oci" could not be found`), matches(`(?i)oci exporter.*not.*supported`):
		return fault.New(fault.Unreachable, j.op, "%s cannot write OCI layouts: it keeps images in Docker's old store", j.at).
			WithHint("switch Docker's containerd image store on (\"features\": {\"containerd-snapshotter\": true} in its daemon.json; Docker 20.10 has none yet), or %s", cure)
	case code == codes.Unavailable:
		return fault.New(fault.Unreachable, j.op, "%s went away: %s", j.at, why).WithHint("start the build again once it runs")
	case matches(`(?i)pull access denied|insufficient_scope|authorization failed|401 Unauthorized|403 Forbidden|no basic auth`):
		return fault.New(fault.Unreachable, j.op, "a registry refuses the credentials: %s", why).
			WithHint("`docker login` to it; the build uses the credentials that are kept where it is started%s", j.credentials.cure())
	case matches(`(?i)failed to do request|dial tcp|no such host|i/o timeout|TLS handshake`):
		return fault.New(fault.Unreachable, j.op, "%s cannot reach a registry: %s", j.at, why).
			WithHint("it is that machine which fetches base images and caches; bases: in sluice.yaml names base images elsewhere")
	}
	return nil
}

// reason is what went wrong, without what BuildKit puts around it at every layer.
func reason(err error) string {
	text := err.Error()
	for _, prefix := range []string{"failed to solve: ", "failed to run Build function: ", "rpc error: code = Unknown desc = "} {
		for strings.HasPrefix(text, prefix) {
			text = strings.TrimPrefix(text, prefix)
		}
	}
	return strings.TrimPrefix(strings.ReplaceAll(text, "failed to solve: ", ""), "rpc error: ")
}

func failedVertex(err error) digest.Digest {
	var vertex *errdefs.VertexError
	if errors.As(err, &vertex) {
		return digest.Digest(vertex.Digest)
	}
	return ""
}

// place is the line of the Dockerfile at which the build failed, "" where BuildKit does not say.
func place(err error, file string) string {
	sources := errdefs.Sources(err)
	if len(sources) == 0 || len(sources[0].Ranges) == 0 || sources[0].Ranges[0].Start == nil {
		return ""
	}
	return fmt.Sprintf(" (%s:%d)", file, sources[0].Ranges[0].Start.Line)
}
