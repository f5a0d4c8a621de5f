package app

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
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

// way says how the API server of an environment's cluster is spoken to, and how long to rest at least between two looks at it.
func (a *App) way(ctx context.Context, environment string, spec v1alpha1.Cluster) (*rest.Config, time.Duration, error) {
	if spec.AKS == nil {
		config, err := a.restConfig(ctx, environment, spec)
		return config, 0, err
	}
	access, err := a.findAKS(ctx, environment, *spec.AKS)
	if err != nil {
		return nil, 0, fault.Wrap(fault.KindOf(err), "cluster of environment "+environment, err)
	}
	return restOf(access, a.o.Secrets), access.Interval, nil
}

// findAKS asks Azure once for each cluster, and says what a person must know of the way to it.
func (a *App) findAKS(ctx context.Context, environment string, spec v1alpha1.AKS) (*port.Access, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if access, ok := a.found[spec]; ok {
		return access, nil
	}
	finder, err := aks.New(spec, aks.Options{Credential: overheard{a.azure, a.o.Secrets}, Cloud: a.resourceManager(), Clock: clock{now: a.o.Now}})
	if err != nil {
		return nil, err
	}
	access, err := finder.Find(ctx)
	if err != nil {
		return nil, err
	}
	for _, notice := range access.Notices {
		a.o.Log(fmt.Sprintf("warning: cluster of environment %s: %s", environment, notice))
	}
	a.found[spec] = access
	return access, nil
}

// overheard makes known as what to mask all tokens that somebody gives.
type overheard struct {
	next    azcore.TokenCredential
	secrets *variables.Masker
}

// GetToken implements azcore.TokenCredential.
func (o overheard) GetToken(ctx context.Context, options policy.TokenRequestOptions) (azcore.AccessToken, error) {
	token, err := o.next.GetToken(ctx, options)
	o.secrets.Add(token.Token)
	return token, err
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
