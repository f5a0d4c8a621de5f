package helm

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sluice-dev/sluice/internal/fault"
)

// refuseKinds refuses what cannot live in two copies or cannot be freed by scaling, and volumes that would lose their data.
func (b *blueprint) refuseKinds() error {
	var doubled, volumes []object
	_, order := keys(b.stable)
	for i, o := range b.stable {
		if o.hook() || b.shared[order[i]] {
			continue
		}
		switch o.GetKind() {
		case "StatefulSet", "CronJob", "DaemonSet":
			doubled = append(doubled, o)
		case "PersistentVolumeClaim":
			if !slices.Contains(b.req.Release.Spec.PerSlot, o.id()) {
				volumes = append(volumes, o)
			}
		}
	}
	if len(doubled) > 0 {
		return fault.New(fault.Usage, "slots", "service %s cannot have two slots with %s: each slot would run its own", b.req.Service, origins(doubled)).
			WithHint("list what both slots may use together under the service's `shared:` (for example %q), move it to a chart of its own, or choose the strategy direct", doubled[0].id())
	}
	if len(volumes) > 0 {
		return fault.New(fault.Usage, "slots", "service %s cannot have two slots with %s: each slot would get a volume of its own, so the new version would start without the data",
			b.req.Service, origins(volumes)).
			WithHint("list it under the service's `shared:` where both slots use one volume (for example %q), or under `perSlot:` where each may begin with an empty one, as a cache may", volumes[0].id())
	}
	return nil
}

// origins lists objects with the templates they come from.
func origins(objects []object) string {
	var out []string
	for _, o := range objects {
		out = append(out, fmt.Sprintf("%s (%s)", o.id(), o.template))
	}
	return strings.Join(out, ", ")
}
