package git

import (
	"context"
	"strings"

	"github.com/sluice-dev/sluice/internal/build"
)

var _ build.Remoter = Git{}

// Remote is the URL of the remote that is called origin, as the repository's configuration has it; "" where there is none.
func (g Git) Remote(ctx context.Context, dir string) (string, error) {
	out, err := g.run(ctx, "read the remote of "+dir, dir, "config", "--default", "", "--get", "remote.origin.url")
	return strings.TrimSpace(out), err
}
