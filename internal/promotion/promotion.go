// Package promotion knows the path that a release takes through the environments; it is pure and must not know how a release gets there.
package promotion

import (
	"maps"
	"slices"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/store"
)

// Path lists the environments that a release goes through up to and including one of them, predecessors first and otherwise by name;
// "" means all of them. Names in `after` that do not exist are left out, and a cycle is cut: both are the configuration's errors.
func Path(environments map[string]v1alpha1.Environment, to string) []string {
	var path []string
	begun := map[string]bool{}
	var visit func(name string)
	visit = func(name string) {
		env, ok := environments[name]
		if !ok || begun[name] {
			return
		}
		begun[name] = true
		for _, before := range slices.Sorted(slices.Values(env.After)) {
			visit(before)
		}
		path = append(path, name)
	}
	if to != "" {
		visit(to)
		return path
	}
	for _, name := range slices.Sorted(maps.Keys(environments)) {
		visit(name)
	}
	return path
}

// Verified says whether a release passed its gates in the environment of these records and was not taken back.
func Verified(records []store.Record, digest string) bool {
	return slices.ContainsFunc(records, func(record store.Record) bool {
		r := record.Rollout
		return r.Release.Digest == digest && (r.Phase == v1alpha1.Succeeded || r.Phase == v1alpha1.Settling)
	})
}

// Earlier is the verified rollout that a rollback from the current one goes to: the newest one before it with another release.
// A rollout that was itself a rollback counts as the one it went back to, so that rolling back twice goes back twice.
func Earlier(records []store.Record) (v1alpha1.Rollout, bool) {
	var done []v1alpha1.Rollout
	for _, record := range records {
		if p := record.Rollout.Phase; p == v1alpha1.Succeeded || p == v1alpha1.Settling {
			done = append(done, record.Rollout)
		}
	}
	slices.SortFunc(done, func(a, b v1alpha1.Rollout) int { return b.Number - a.Number })
	for i := 0; i < len(done); {
		current := done[i]
		next := slices.IndexFunc(done[i+1:], func(r v1alpha1.Rollout) bool {
			if current.Back {
				return r.Release.Digest == current.Release.Digest
			}
			return r.Release.Digest != current.Release.Digest
		})
		if next < 0 {
			return v1alpha1.Rollout{}, false
		}
		i += 1 + next
		if !current.Back {
			return done[i], true
		}
	}
	return v1alpha1.Rollout{}, false
}

// Next is the release to promote: of those that are verified in every environment that comes first, the one that was verified last.
// before holds the records of these environments by name.
func Next(before map[string][]store.Record) (v1alpha1.ReleaseRef, bool) {
	var next v1alpha1.Rollout
	found := false
	for _, records := range before {
		for _, record := range records {
			r := record.Rollout
			if (found && !r.VerifiedAt.After(next.VerifiedAt)) || !everywhere(before, r.Release.Digest) {
				continue
			}
			next, found = r, true
		}
	}
	return next.Release, found
}

func everywhere(environments map[string][]store.Record, digest string) bool {
	for _, records := range environments {
		if !Verified(records, digest) {
			return false
		}
	}
	return true
}
