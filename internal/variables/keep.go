package variables

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/sluice-dev/sluice/internal/fault"
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
	// Collect removes the objects of a place that nothing needs, and returns their names. From the others it takes the notes of digests
	// that need them no more.
	Collect(ctx context.Context, place Place, needed Needs) (removed []string, err error)
}

// Needs finds out which deploy digests are still needed. It is asked once, after the objects were listed: whoever records a digest before
// anything is kept for it, as every rollout does, is then either known, or has made or changed its objects since, and those are left alone.
type Needs func(ctx context.Context) (digests []string, err error)

// noted is what the names of the annotations begin with that say who needs an object.
const noted = "digest.sluice.dev/"

// NeededBy is the annotation of an object that the slots with a deploy digest need.
func NeededBy(digest string) string {
	_, hexadecimal, _ := strings.Cut(digest, ":")
	return fmt.Sprintf("%s%.40s", noted, hexadecimal)
}

// Need notes that the slots with a deploy digest need an object. The note is another each time, so that an object changes also when it is
// needed by the same digest again, and who has listed it before cannot remove it.
func Need(digest string) map[string]string {
	return map[string]string{NeededBy(digest): rand.Text()}
}

// Needed says whether an object with these annotations is needed by one of the digests.
func Needed(annotations map[string]string, digests []string) bool {
	return slices.ContainsFunc(digests, func(digest string) bool { _, ok := annotations[NeededBy(digest)]; return ok })
}

// Stale is the JSON merge patch that takes the notes of digests that need it no more off an object, as long as it is as it was listed at a
// version; nil where there is none. Nothing else would: each deployment adds one, and annotations may have 256 KiB together.
func Stale(annotations map[string]string, version string, digests []string) ([]byte, error) {
	gone := map[string]any{}
	for name := range annotations {
		if strings.HasPrefix(name, noted) && !slices.ContainsFunc(digests, func(digest string) bool { return NeededBy(digest) == name }) {
			gone[name] = nil
		}
	}
	if len(gone) == 0 {
		return nil, nil
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"resourceVersion": version, "annotations": gone}})
	return patch, fault.Wrap(fault.Internal, "remove notes of digests", err)
}
