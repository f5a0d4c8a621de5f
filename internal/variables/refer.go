package variables

import (
	"context"
	"fmt"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// Lister says which versions a store holds, and needs no right to what they contain.
type Lister interface {
	// Versions answers as Resolve does, with the same errors and without values. "" asks for the newest version that is not switched
	// off. Whether a variable is empty it cannot know, nor what only the content would tell.
	Versions(ctx context.Context, queries []Query) ([]Variable, error)
	fmt.Stringer
}

// Reference is one variable that the cluster is to read.
type Reference struct {
	// Key in the Secret that the cluster fills.
	Key string
	// Name in the store.
	Name string
	// Version that the Secret must hold.
	Version string
}

// Referrer lets the cluster read variables from an environment's store for itself, so that who deploys never sees them. It is safe for
// concurrent use.
type Referrer interface {
	// Ready finds out whether the cluster can: whether it has what reads, a way to the environment's store and no other, and lets us ask
	// for it. It writes nothing, and fails with fault.Refused for what is not there or wrong, and with fault.Unreachable for what could
	// not be found out.
	Ready(ctx context.Context, place Place) error
	// Refer makes sure that a Secret with these variables is there for the slots that carry a deploy digest, waits until the cluster has
	// filled it, and returns its name. The same references have the same name in a place, others another, and the Secret never changes.
	//
	// It fails with fault.Refused where the cluster cannot read them or somebody else's object has the name, and with fault.Unreachable
	// where the cluster does not let it, or nothing in it answers.
	Refer(ctx context.Context, place Place, digest string, references []Reference) (name string, err error)
	// Collect removes the Secrets of a place that none of the digests needs, and returns their names.
	Collect(ctx context.Context, place Place, digests []string) (removed []string, err error)
}

// Labels are those of what is written for a place. kind tells what one writer has written from what another has.
func (p Place) Labels(kind string) map[string]string {
	return map[string]string{v1alpha1.LabelService: p.Service, v1alpha1.LabelEnvironment: p.Environment, "sluice.dev/variables": kind}
}
