package app

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/deploy"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/rollout"
	"github.com/sluice-dev/sluice/internal/variables"
)

// releaser is all that a place needs of what deploys.
type releaser interface {
	deploy.Releaser
	deploy.Witness
	rollout.Preflight
	rollout.Watcher
}

// supply is a Releaser that brings services their variables: what is hidden lies in a Secret, of which the chart is told the name.
type supply struct {
	releaser
	keeper variables.Keeper
	// store opens the store of a release's environment.
	store func(ctx context.Context, release *v1alpha1.Release, environment string) (variables.Store, error)
	// referrer is what lets the cluster of a release's environment read for itself.
	referrer func(release *v1alpha1.Release, environment string) variables.Referrer
	// secrets learns of every hidden value; log takes a line where one cannot be masked.
	secrets *variables.Masker
	log     func(line string)

	mu sync.Mutex
	// known is what was read in this run: a version always names the same content.
	known map[variables.Query]variables.Variable
	// learned says that the contents of the service's Secrets are known to secrets.
	learned bool
}

var _ releaser = (*supply)(nil)

// unnamed stands for the name of a Secret that is not written yet.
const unnamed = "variables"

// Preflight finds out what can be known before anything is written; the store is read, and nothing is kept.
func (s *supply) Preflight(ctx context.Context, req deploy.Request) error {
	settings, hidden, err := s.read(ctx, req)
	if err != nil {
		return err
	}
	if len(hidden) > 0 {
		settings[req.Release.Spec.VariableValues.SecretName] = unnamed
	}
	if err := s.announce(ctx, req, settings); err != nil {
		return err
	}
	req.Settings, req.Tainted = settings, taint(req.Release.Spec.Variables, hidden)
	return s.releaser.Preflight(ctx, req)
}

// Deploy keeps the variables first: pods that start without them fail.
func (s *supply) Deploy(ctx context.Context, req deploy.Request) error {
	if req.Restore != nil {
		// What the cluster stores names the Secret that it had.
		return s.releaser.Deploy(ctx, req)
	}
	settings, hidden, err := s.read(ctx, req)
	if err != nil {
		return err
	}
	if len(hidden) > 0 {
		name, err := s.keeper.Keep(ctx, placeOf(req.Scope), req.DeployDigest, hidden)
		if err != nil {
			return err
		}
		settings[req.Release.Spec.VariableValues.SecretName] = name
	}
	if err := s.refer(ctx, req, settings); err != nil {
		return err
	}
	req.Settings, req.Tainted = settings, taint(req.Release.Spec.Variables, hidden)
	return s.releaser.Deploy(ctx, req)
}

func placeOf(scope deploy.Scope) variables.Place {
	return variables.Place{Namespace: scope.Namespace, Service: scope.Service, Environment: scope.Environment}
}

// read resolves the variables of a request in the versions that it names: those that the chart's values take, by path, and the hidden
// ones, by key.
func (s *supply) read(ctx context.Context, req deploy.Request) (settings map[string]string, hidden map[string]variables.Value, err error) {
	settings, hidden = map[string]string{}, map[string]variables.Value{}
	spec := req.Release.Spec.Variables
	names := namesOf(spec, false)
	var queries []variables.Query
	for _, name := range names {
		queries = append(queries, variables.Query{Name: spec[name].StoreName(name), Version: req.Variables[name]})
	}
	found, err := s.resolve(ctx, req.Release, req.Environment, queries)
	if err != nil {
		return nil, nil, err
	}
	for i, name := range names {
		if spec[name].Hidden() {
			s.hide(name, found[i])
			hidden[spec[name].KeyOf(name)] = found[i].Value
			continue
		}
		settings[spec[name].Key] = found[i].Value.Reveal()
	}
	return settings, hidden, nil
}

// hide takes the content of a variable out of everything that this run prints and records.
func (s *supply) hide(name string, v variables.Variable) {
	s.secrets.Keep("variable "+name, v.Value.Reveal(), s.log)
}

// taint finds hidden variables, in whatever encoding, in what others can read.
func taint(spec map[string]v1alpha1.Variable, hidden map[string]variables.Value) func(text string) string {
	finders := map[string]*variables.Masker{}
	for name, v := range spec {
		if value, ok := hidden[v.KeyOf(name)]; ok && v.Hidden() {
			finders[name] = &variables.Masker{}
			finders[name].Add(value.Reveal())
		}
	}
	return func(text string) string {
		for _, name := range slices.Sorted(maps.Keys(finders)) {
			if finders[name].Holds(text) {
				return name
			}
		}
		return ""
	}
}

// resolve asks the store for what is not known yet.
func (s *supply) resolve(ctx context.Context, release *v1alpha1.Release, environment string, queries []variables.Query) ([]variables.Variable, error) {
	if len(queries) == 0 {
		return nil, nil
	}
	answers := make([]variables.Variable, len(queries))
	var ask []variables.Query
	var places []int
	s.mu.Lock()
	for i, q := range queries {
		if v, ok := s.known[q]; ok && q.Version != "" {
			answers[i] = v
			continue
		}
		ask, places = append(ask, q), append(places, i)
	}
	s.mu.Unlock()
	if len(ask) == 0 {
		return answers, nil
	}
	store, err := s.store(ctx, release, environment)
	if err != nil {
		return nil, err
	}
	found, err := store.Resolve(ctx, ask)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, v := range found {
		answers[places[i]] = v
		s.known[variables.Query{Name: ask[i].Name, Version: v.Version}] = v
	}
	return answers, nil
}

// ask is a way to find out about variables: with what they contain, or without.
type ask func(ctx context.Context, queries []variables.Query) ([]variables.Variable, error)

// Versions says which version of each variable a release gets: the current one, or on the way back the one that it ran with, as far as
// the store still gives it. Notices say where it gets another than it ran with.
func (s *supply) Versions(ctx context.Context, release *v1alpha1.Release, environment string, recorded map[string]string) (versions map[string]string, notices []string, err error) {
	versions = map[string]string{}
	read := func(ctx context.Context, queries []variables.Query) ([]variables.Variable, error) {
		return s.resolve(ctx, release, environment, queries)
	}
	if err := s.choose(ctx, release, false, recorded, read, versions, &notices); err != nil {
		return nil, nil, err
	}
	if len(namesOf(release.Spec.Variables, true)) == 0 {
		return versions, notices, nil
	}
	list, err := s.lister(ctx, release, environment)
	if err != nil {
		return nil, nil, err
	}
	if err := s.choose(ctx, release, true, recorded, list, versions, &notices); err != nil {
		return nil, nil, err
	}
	return versions, notices, nil
}

// choose finds the versions of the variables that only the cluster reads, or of all others.
func (s *supply) choose(ctx context.Context, release *v1alpha1.Release, referred bool, recorded map[string]string, find ask, versions map[string]string, notices *[]string) error {
	spec := release.Spec.Variables
	names := namesOf(spec, referred)
	var queries []variables.Query
	for _, name := range names {
		q := variables.Query{Name: spec[name].StoreName(name), Version: recorded[name]}
		if spec[name].OnRollback == v1alpha1.OnRollbackCurrent {
			q.Version = ""
		}
		queries = append(queries, q)
	}
	found, err := find(ctx, queries)
	if lost(err) {
		found, err = nearest(ctx, queries, find, notices)
	}
	if err != nil {
		return err
	}
	var problems []error
	for i, name := range names {
		if spec[name].Hidden() && !referred {
			s.hide(name, found[i])
		}
		if !referred {
			problems = append(problems, variables.Usable(found[i], spec[name].Hidden()))
		}
		versions[name] = found[i].Version
		if was := recorded[name]; was != "" && queries[i].Version == "" && was != found[i].Version {
			*notices = append(*notices, fmt.Sprintf("variable %s: the current version is taken, as onRollback: current says, and not the one that the release ran with", name))
		}
	}
	return variables.Failed(anyStore{}, problems)
}

// anyStore names the store where it does not matter which.
type anyStore struct{}

func (anyStore) String() string { return "the environment's store" }

// namesOf are the names of the variables that only the cluster reads, or of all others.
func namesOf(spec map[string]v1alpha1.Variable, referred bool) []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(spec)), func(name string) bool { return spec[name].Referred() != referred })
}

// lost says that a store no longer gives a version that it had.
func lost(err error) bool {
	return errors.Is(err, variables.ErrGone) || errors.Is(err, variables.ErrDisabled) || errors.Is(err, variables.ErrExpired)
}

// nearest takes the current version of what is lost in the one that was recorded.
func nearest(ctx context.Context, queries []variables.Query, find ask, notices *[]string) ([]variables.Variable, error) {
	var found []variables.Variable
	for _, q := range queries {
		answer, err := find(ctx, []variables.Query{q})
		if lost(err) && q.Version != "" {
			*notices = append(*notices, fmt.Sprintf("variable %s: the current version is taken, for the one that the release ran with is lost: %v", q.Name, err))
			answer, err = find(ctx, []variables.Query{{Name: q.Name}})
		}
		if err != nil {
			return nil, err
		}
		found = append(found, answer...)
	}
	return found, nil
}

// Tidy removes the Secrets of variables that nothing needs any more: no slot carries them, and no rollout goes back to them.
func (p *Place) Tidy(ctx context.Context) error {
	if p.keeper == nil {
		return nil
	}
	_, err := p.keeper.Collect(ctx, placeOf(p.Scope()), p.needed)
	if err == nil {
		err = p.unrefer(ctx)
	}
	return fault.Wrap(fault.KindOf(err), "remove variables that nothing needs", err)
}

// needed are the deploy digests whose variables are needed.
func (p *Place) needed(ctx context.Context) ([]string, error) {
	seen, err := p.Releaser.Observe(ctx, p.Scope())
	if err != nil {
		return nil, err
	}
	records, err := p.Store.List(ctx, p.Key)
	if err != nil {
		return nil, err
	}
	var digests []string
	for _, slot := range seen.Slots {
		// A retired slot has no pods, and is only brought back by a rollout that is still going on.
		if slot.State != deploy.Retired {
			digests = append(digests, slot.DeployDigest)
		}
	}
	for _, record := range records {
		if r := record.Rollout; !r.Phase.Final() {
			digests = append(digests, r.DeployDigest, r.Return.DeployDigest)
		}
	}
	if last, ok := rollout.LastVerified(records); ok {
		digests = append(digests, last.DeployDigest)
	}
	return digests, nil
}
