package app

import (
	"context"
	"net/http"

	"k8s.io/client-go/rest"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/store"
	"github.com/sluice-dev/sluice/internal/variables"
)

// keepCredentials makes those of a cluster known: what the kubeconfig holds, and what is sent to the API server, wherever it comes from.
func (a *App) keepCredentials(config *rest.Config) {
	// What cannot be loaded is said by whoever connects.
	if loaded := rest.CopyConfig(config); rest.LoadTLSFiles(loaded) == nil {
		a.o.Secrets.Add(string(loaded.KeyData))
	}
	a.o.Secrets.Add(config.Password, config.BearerToken)
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { return learning{next, a.o.Secrets} })
}

// learning makes known with what requests are authenticated.
type learning struct {
	next    http.RoundTripper
	secrets *variables.Masker
}

// RoundTrip sends a request.
func (l learning) RoundTrip(r *http.Request) (*http.Response, error) {
	l.secrets.AddAuthorization(r.Header.Get("Authorization"))
	return l.next.RoundTrip(r)
}

// masked is a store whose records hold no secret: what gates, pods and errors say is for people, and may quote what they were given.
type masked struct {
	store.Store
	secrets *variables.Masker
}

// Create implements store.Store.
func (m masked) Create(ctx context.Context, r v1alpha1.Rollout) (store.Record, error) {
	return m.Store.Create(ctx, m.rollout(r))
}

// Update implements store.Store.
func (m masked) Update(ctx context.Context, record store.Record) (store.Record, error) {
	record.Rollout = m.rollout(record.Rollout)
	return m.Store.Update(ctx, record)
}

// rollout is a copy without secrets. What the machine goes by is left as it is.
func (m masked) rollout(r v1alpha1.Rollout) v1alpha1.Rollout {
	hide := m.secrets.String
	r.Reason, r.Cause, r.LastError = hide(r.Reason), hide(r.Cause), hide(r.LastError)
	r.Evidence = changed(r.Evidence, func(s *string) { *s = hide(*s) })
	r.Results = changed(r.Results, func(g *v1alpha1.GateResult) { g.Evidence = hide(g.Evidence) })
	r.Requests = changed(r.Requests, func(q *v1alpha1.Request) { q.Reason = hide(q.Reason) })
	r.History = changed(r.History, func(e *v1alpha1.Event) { e.Message = hide(e.Message) })
	return r
}

// changed is a copy of a list with each entry changed; nil stays nil.
func changed[T any](list []T, change func(*T)) []T {
	if list == nil {
		return nil
	}
	list = append(make([]T, 0, len(list)), list...)
	for i := range list {
		change(&list[i])
	}
	return list
}
