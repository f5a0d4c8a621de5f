package seal

import (
	"context"

	"github.com/sluice-dev/sluice/internal/fault"
)

// Claims lists who the signatures beside a subject say that they are by, each once. Nobody verified that: it says whom a policy would
// have to name, and not whom to trust. Signatures that do not say are left out.
func (c *Checker) Claims(ctx context.Context, subject string) ([]string, error) {
	there, err := read(ctx, c.Registry, subject)
	if err != nil {
		return nil, fault.Wrap(fault.KindOf(err), "read the signatures of "+subject, err)
	}
	var names []string
	for _, b := range there.bundles {
		if who, err := c.Verifier.Claims(b.data); err == nil {
			names = append(names, who.String())
		}
	}
	return unique(names), nil
}
