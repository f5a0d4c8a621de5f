package app

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/config"
	"github.com/sluice-dev/sluice/internal/doctor"
	"github.com/sluice-dev/sluice/internal/fault"
	signin "github.com/sluice-dev/sluice/internal/identity"
	"github.com/sluice-dev/sluice/internal/release"
	"github.com/sluice-dev/sluice/internal/variables"
)

const (
	// noticeable is how long something may take before people are told what is waited for.
	noticeable = 2 * time.Second
	// settling is how long what was called off may take to say what it was at.
	settling = 500 * time.Millisecond
	// The longest that one check may take: a step of the network, and what asks a server or a program several times.
	stepTimeout  = 5 * time.Second
	checkTimeout = 20 * time.Second
)

// DiagnoseRequest says what to look at.
type DiagnoseRequest struct {
	File                   *config.File
	Services, Environments []string
}

// Diagnose gathers what can be found out about the way to environments and about what a deployment there needs, in all of them at once. It
// writes nothing; to find out whether a registry takes a push it begins an upload and takes it back. It only fails where it is interrupted.
func (a *App) Diagnose(ctx context.Context, req DiagnoseRequest) ([]doctor.Facts, error) {
	all := make([]doctor.Facts, len(req.Environments))
	kept := &repositories{known: map[string]func() doctor.Repository{}}
	var wait sync.WaitGroup
	for i, name := range req.Environments {
		wait.Go(func() { all[i] = a.diagnose(ctx, req, name, kept) })
	}
	wait.Wait()
	if err := ctx.Err(); err != nil {
		return nil, fault.Wrap(fault.Interrupted, "look at the environments", err)
	}
	return all, nil
}

func (a *App) diagnose(ctx context.Context, req DiagnoseRequest, name string, kept *repositories) doctor.Facts {
	env := req.File.Project.Environments[name]
	facts := doctor.Facts{Environment: name, Namespace: env.Namespace, Now: a.o.Now()}
	taken := takenFrom(&req.File.Project, req.Services)
	inside := env.Variables != nil && env.Variables.Kubernetes != nil
	var wait sync.WaitGroup
	wait.Go(func() {
		facts.Cluster = a.diagnoseCluster(ctx, req, name, env)
		if inside && len(taken) > 0 {
			facts.Store = a.diagnoseStore(ctx, name, env, taken, facts.Cluster.Login == nil || facts.Cluster.Login.Trouble != "")
		}
	})
	wait.Go(func() { facts.Repositories = a.diagnoseRepositories(ctx, req, env, kept) })
	if !inside && len(taken) > 0 {
		wait.Go(func() { facts.Store = a.diagnoseStore(ctx, name, env, taken, false) })
	}
	wait.Wait()
	facts.SignIn = a.signIn(facts, env)
	return facts
}

// signIn is what came of signing in to Azure; nil for an environment that needs nothing of it.
func (a *App) signIn(facts doctor.Facts, env v1alpha1.Environment) *doctor.SignIn {
	found := &doctor.SignIn{Attempts: a.azure.Attempts()}
	need := func(what string, err error) {
		found.For = append(found.For, what)
		var nobody *signin.Failure
		if found.Err == nil && errors.As(err, &nobody) {
			found.Attempts, found.Decided, found.Err = nobody.Attempts, nobody.Decided, err
		}
	}
	if a.override(env.Cluster).AKS != nil {
		err := facts.Cluster.Settings
		if facts.Cluster.Login != nil && facts.Cluster.Login.Err != nil {
			err = facts.Cluster.Login.Err
		}
		need("the "+facts.Cluster.Way, err)
	}
	if env.Variables != nil && env.Variables.KeyVault != "" && facts.Store != nil {
		need(facts.Store.Name, facts.Store.Err)
	}
	for _, r := range facts.Repositories {
		host, _, _ := strings.Cut(r.Name, "/")
		if strings.HasSuffix(host, ".azurecr.io") {
			need("the registry "+host, r.Read)
		}
	}
	if len(found.For) == 0 || len(found.Attempts) == 0 && found.Err == nil {
		return nil
	}
	return found
}

// taking is who takes a variable.
type taking struct {
	services []string
	// read says that somebody takes it otherwise than as a reference, hidden that nobody must see it.
	read, hidden bool
}

// takenFrom are the variables that services take, by their names in the stores.
func takenFrom(project *v1alpha1.Project, services []string) map[string]taking {
	taken := map[string]taking{}
	for _, service := range services {
		for name, v := range project.Services[service].Variables {
			t := taken[v.StoreName(name)]
			if !slices.Contains(t.services, service) {
				t.services = append(t.services, service)
			}
			t.read, t.hidden = t.read || v.As != v1alpha1.VariableReference, t.hidden || v.Hidden()
			taken[v.StoreName(name)] = t
		}
	}
	return taken
}

// diagnoseStore reads what services take. No content is kept.
func (a *App) diagnoseStore(ctx context.Context, environment string, env v1alpha1.Environment, taken map[string]taking, blocked bool) *doctor.Store {
	found := &doctor.Store{Name: "the store of variables", Blocked: blocked}
	if blocked {
		return found
	}
	store, err := bounded(ctx, a, "the store of variables of "+environment, checkTimeout, func(ctx context.Context) (variables.Store, error) {
		return a.Variables(ctx, environment, env)
	})
	if err != nil {
		found.Err = err
		return found
	}
	found.Name = store.String()
	var wanted []variables.Wanted
	for _, name := range slices.Sorted(maps.Keys(taken)) {
		wanted = append(wanted, variables.Wanted{Name: name, Unread: !taken[name].read})
	}
	answers, err := bounded(ctx, a, found.Name, checkTimeout, func(ctx context.Context) ([]variables.Answer, error) {
		return variables.Ask(ctx, store, wanted)
	})
	found.Err = err
	for _, answer := range answers {
		if taken[answer.Name].hidden {
			a.o.Secrets.Add(answer.Value.Reveal())
		}
		found.Variables = append(found.Variables, doctor.Variable{
			Name: answer.Name, Users: taken[answer.Name].services, Version: answer.Version, Expires: answer.Expires, Err: answer.Err,
		})
	}
	return found
}

// repositories are looked at once, however many environments they serve.
type repositories struct {
	mu    sync.Mutex
	known map[string]func() doctor.Repository
}

func (k *repositories) once(name string, look func() doctor.Repository) func() doctor.Repository {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.known[name] == nil {
		k.known[name] = sync.OnceValue(look)
	}
	return k.known[name]
}

// diagnoseRepositories looks at where releases of services lie, and where they are copied to for an environment.
func (a *App) diagnoseRepositories(ctx context.Context, req DiagnoseRequest, env v1alpha1.Environment, kept *repositories) []doctor.Repository {
	prefix := a.o.Registry
	var wanted []doctor.Repository
	for _, service := range req.Services {
		if prefix != "" {
			wanted = append(wanted, doctor.Repository{Name: release.Repository(prefix, service), For: "releases are built to it and deployed from it"})
		}
		if env.Registry != "" && strings.TrimSuffix(env.Registry, "/") != strings.TrimSuffix(prefix, "/") {
			wanted = append(wanted, doctor.Repository{Name: release.Repository(env.Registry, service), For: "releases are copied to it before they are deployed", Writes: true})
		}
	}
	var wait sync.WaitGroup
	for i, r := range wanted {
		wait.Go(func() {
			seen := kept.once(r.Name, func() doctor.Repository { return a.diagnoseRepository(ctx, r.Name) })()
			wanted[i].Account, wanted[i].Read, wanted[i].Write = seen.Account, seen.Read, seen.Write
		})
	}
	wait.Wait()
	return wanted
}

func (a *App) diagnoseRepository(ctx context.Context, name string) doctor.Repository {
	r := doctor.Repository{Name: name}
	r.Account, r.Read = bounded(ctx, a, "the credentials for "+name, checkTimeout, func(ctx context.Context) (string, error) {
		return a.registry().Account(ctx, name)
	})
	if r.Read != nil {
		r.Write = r.Read
		return r
	}
	var wait sync.WaitGroup
	wait.Go(func() {
		_, r.Read = bounded(ctx, a, "the registry of "+name, checkTimeout, func(ctx context.Context) ([]string, error) {
			return a.registry().Tags(ctx, name)
		})
	})
	wait.Go(func() {
		_, r.Write = bounded(ctx, a, "the right to push to "+name, checkTimeout, func(ctx context.Context) (struct{}, error) {
			return struct{}{}, a.registry().Check(ctx, name)
		})
	})
	wait.Wait()
	return r
}

// bounded asks something that takes no longer than the limit, whatever it does, and tells people after a while what is waited for.
func bounded[T any](ctx context.Context, a *App, what string, limit time.Duration, ask func(ctx context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	type outcome struct {
		value T
		err   error
	}
	done := make(chan outcome, 1)
	go func() {
		value, err := ask(ctx)
		done <- outcome{value, err}
	}()
	slow := time.AfterFunc(noticeable, func() { a.o.Log(fmt.Sprintf("still waiting for %s, for %s at most", what, limit)) })
	defer slow.Stop()
	select {
	case o := <-done:
		return o.value, o.err
	case <-ctx.Done():
	}
	// Whoever heard of it knows best what it was at.
	late := time.NewTimer(settling)
	defer late.Stop()
	select {
	case o := <-done:
		return o.value, o.err
	case <-late.C:
		var nothing T
		return nothing, fault.New(fault.Unreachable, what, "no answer within %s", limit)
	}
}
