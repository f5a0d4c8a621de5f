package build

import "context"

// Remoter is a Sources that knows where others find the repository.
type Remoter interface {
	Sources
	// Remote returns the URL of the repository's origin as it is configured, credentials included; "" where it has none.
	Remote(ctx context.Context, dir string) (string, error)
}
