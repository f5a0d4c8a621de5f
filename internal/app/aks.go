package app

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"time"

	"k8s.io/client-go/rest"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	port "github.com/sluice-dev/sluice/internal/cluster"
	"github.com/sluice-dev/sluice/internal/cluster/aks"
	"github.com/sluice-dev/sluice/internal/deploy"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/variables"
)

const (
	// slowReach is how long the API server may take for its first answer where looking at it takes long.
	slowReach = 3 * time.Minute
	// slowTerm is how long a lock holds without renewal there: a renewal takes seconds too.
	slowTerm = 5 * time.Minute
)

// way is how the API server of an environment's cluster is spoken to.
type way struct {
	config *rest.Config
	// interval is how long to rest at least between two looks at it; 0 where looking is fast.
	interval time.Duration
	// notices are what a person must know of it.
	notices []string
}

// way finds it.
func (a *App) way(ctx context.Context, environment string, spec v1alpha1.Cluster) (way, error) {
	if spec.AKS == nil {
		config, err := a.restConfig(ctx, environment, spec)
		return way{config: config}, err
	}
	access, err := a.findAKS(ctx, environment, *spec.AKS)
	if err != nil {
		return way{}, fault.Wrap(fault.KindOf(err), "cluster of environment "+environment, err)
	}
	return way{restOf(access, a.o.Secrets), access.Interval, access.Notices}, nil
}

// sought is a cluster in Azure that somebody needs.
type sought struct {
	// turn is taken by who asks Azure for it; a channel, so that nobody waits longer than its context.
	turn chan struct{}
	// access belongs to whose turn it is; nil as long as there is none.
	access *port.Access
}

func (a *App) seek(spec v1alpha1.AKS) *sought {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.found[spec] == nil {
		a.found[spec] = &sought{turn: make(chan struct{}, 1)}
	}
	return a.found[spec]
}

// findAKS asks Azure once for each cluster, and says what a person must know of the way to it.
func (a *App) findAKS(ctx context.Context, environment string, spec v1alpha1.AKS) (*port.Access, error) {
	s := a.seek(spec)
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		if errors.Is(ctx.Err(), context.Canceled) {
			return nil, ctx.Err()
		}
		return nil, fault.New(fault.Unreachable, "AKS cluster "+spec.Name, "another part of this run still asks Azure for it: %w", ctx.Err()).
			WithHint("check the network and the proxy between here and Azure, then run the command again")
	}
	if s.access != nil {
		return s.access, nil
	}
	finder, err := aks.New(spec, aks.Options{Credential: a.azure, Cloud: a.resourceManager(), Clock: clock{now: a.o.Now}})
	if err != nil {
		return nil, err
	}
	access, err := finder.Find(ctx)
	if err != nil {
		return nil, err
	}
	if access.Token != nil {
		// Signing in has a time of its own: the API server has to answer within seconds.
		if _, _, err := access.Token(ctx); err != nil {
			return nil, err
		}
	}
	for _, notice := range access.Notices {
		a.o.Log(fmt.Sprintf("warning: cluster of environment %s: %s", environment, notice))
	}
	s.access = access
	return access, nil
}

// restOf is an access for a client of Kubernetes. What opens the cluster is made known as what to mask.
func restOf(access *port.Access, secrets *variables.Masker) *rest.Config {
	secrets.Add(string(access.Key))
	if access.Transport != nil {
		return &rest.Config{Host: access.Server, Transport: access.Transport}
	}
	config := &rest.Config{Host: access.Server, TLSClientConfig: rest.TLSClientConfig{CAData: access.CA, CertData: access.Certificate, KeyData: access.Key}}
	if access.Token != nil {
		config.Wrap(func(next http.RoundTripper) http.RoundTripper { return bearing{next, access, secrets} })
	}
	return config
}

// bearing sends requests with the token of the moment.
type bearing struct {
	next    http.RoundTripper
	access  *port.Access
	secrets *variables.Masker
}

// RoundTrip sends a request.
func (b bearing) RoundTrip(r *http.Request) (*http.Response, error) {
	token, _, err := b.access.Token(r.Context())
	if err != nil {
		if r.Body != nil {
			_ = r.Body.Close() // nothing was read of it
		}
		return nil, err
	}
	b.secrets.Add(token)
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+token)
	return b.next.RoundTrip(r)
}

// unwatched is a supply of a cluster that can only be looked at.
type unwatched struct{ *supply }

var _ releaser = unwatched{}

// Watch implements rollout.Watcher: nobody tells of changes.
func (unwatched) Watch(context.Context, deploy.Scope) <-chan struct{} { return nil }

// deniedByAzure is what Azure's roles refuse in a cluster that asks them; nil where it is somebody else who does. The cluster does not tell
// its own id, which the scope begins with.
func deniedByAzure(err error) *port.Denied {
	said := regexp.MustCompile(`User "([^"]+)" cannot (\S+ resource "[^"]+").*?(?:in the namespace "([^"]+)")?: User does not have access to the resource in Azure`).
		FindStringSubmatch(err.Error())
	if said == nil {
		return nil
	}
	scope := "CLUSTER_ID"
	if said[3] != "" {
		scope += "/namespaces/" + said[3]
	}
	return &port.Denied{Principal: said[1], Action: said[2], Scope: scope, Role: "Azure Kubernetes Service RBAC Writer", Message: err.Error()}
}
