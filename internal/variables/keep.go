package variables

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// Place is where the variables of a service go.
type Place struct{ Namespace, Service, Environment string }

// Keeper keeps a service's hidden variables where its pods read them. It is safe for concurrent use.
type Keeper interface {
	// Keep makes sure that an object with these contents, by key, is there for the slots that carry a deploy digest, and returns its
	// name. The same contents have the same name in a place, other contents another, and nobody can tell contents from a name. An object
	// never changes, so what runs keeps what it was started with.
	//
	// It fails with fault.Refused where somebody else's object has the name, and with fault.Unreachable where the cluster does not let it.
	Keep(ctx context.Context, place Place, digest string, contents map[string]Value) (name string, err error)
	// Kept are the contents of all objects of a place: what its pods may know, and say.
	//
	// It fails with fault.Unreachable where the cluster does not let it.
	Kept(ctx context.Context, place Place) ([]Value, error)
	// Collect removes the objects of a place that none of the digests needs, and returns their names.
	Collect(ctx context.Context, place Place, digests []string) (removed []string, err error)
}

// NeededBy is the annotation of an object that the slots with a deploy digest need.
func NeededBy(digest string) string {
	_, hexadecimal, _ := strings.Cut(digest, ":")
	return fmt.Sprintf("digest.sluice.dev/%.40s", hexadecimal)
}

// Needed says whether an object with these annotations is needed by one of the digests.
func Needed(annotations map[string]string, digests []string) bool {
	return slices.ContainsFunc(digests, func(digest string) bool { _, ok := annotations[NeededBy(digest)]; return ok })
}
