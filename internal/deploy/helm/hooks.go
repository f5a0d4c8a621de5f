package helm

import (
	"slices"
	"strings"

	releasev1 "helm.sh/helm/v4/pkg/release/v1"
)

// adaptHook decides at which of Helm's events a hook runs, and whether it is in the release at all.
//
// A slot's first deployment is a Helm install although the service lives already, and a first installation that is tried
// again is a Helm upgrade: so the events are translated from what happens to the service into what Helm does.
// It changes the object's annotation and says whether to keep the object.
func (b *blueprint) adaptHook(o object) bool {
	events := splitList(o.GetAnnotations()[releasev1.HookAnnotation])
	out := b.events(events)
	if b.done[o.id()] {
		// Finished by an act that was cut off; it runs once per release.
		out = slices.DeleteFunc(out, acting)
	}
	if len(out) == 0 {
		return false
	}
	annotate(o, releasev1.HookAnnotation, strings.Join(out, ","))
	if !slices.ContainsFunc(out, acting) {
		return true
	}
	// Helm hands over the log of a failed hook before a delete policy takes it away.
	policies := splitList(o.GetAnnotations()[releasev1.HookOutputLogAnnotation])
	if failed := string(releasev1.HookOutputOnFailed); !slices.Contains(policies, failed) {
		annotate(o, releasev1.HookOutputLogAnnotation, strings.Join(append(policies, failed), ","))
	}
	return true
}

// events translates a hook's events. Events of other acts (tests, rollbacks, removal) stay.
func (b *blueprint) events(events []string) []string {
	does := "install"
	if b.upgrade {
		does = "upgrade"
	}
	happens := "upgrade"
	if b.fresh {
		happens = "install"
	}
	var out []string
	add := func(e string) {
		if !slices.Contains(out, e) {
			out = append(out, e)
		}
	}
	for _, e := range events {
		when, what, ok := strings.Cut(e, "-")
		if !ok || !acting(e) {
			add(e)
			continue
		}
		if what == happens {
			add(when + "-" + does)
		}
		if does == happens && what != happens {
			// Helm does not run it now; it stays for the record.
			add(e)
		}
	}
	return out
}

// acting says whether an event belongs to installing or upgrading.
func acting(event string) bool {
	switch releasev1.HookEvent(event) {
	case releasev1.HookPreInstall, releasev1.HookPostInstall, releasev1.HookPreUpgrade, releasev1.HookPostUpgrade:
		return true
	default:
		return false
	}
}

func splitList(s string) []string {
	var out []string
	for _, part := range strings.Split(s, ",") {
		if part = strings.TrimSpace(part); part != "" {
			out = append(out, part)
		}
	}
	return out
}
