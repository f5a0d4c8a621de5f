package app

import (
	"context"
	"fmt"
	"sync"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/restmapper"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/build/chart"
	"github.com/sluice-dev/sluice/internal/check"
	"github.com/sluice-dev/sluice/internal/deploy/helm"
	"github.com/sluice-dev/sluice/internal/doctor"
	"github.com/sluice-dev/sluice/internal/rbac"
	"github.com/sluice-dev/sluice/internal/release"
)

// access asks the cluster about every right that a deployment needs, and says what stands in the way of asking for more. Rights to kinds that
// the cluster does not know are not asked for: nobody needs them.
func (a *App) access(ctx context.Context, client kubernetes.Interface, req DiagnoseRequest, environment string, env v1alpha1.Environment) ([]doctor.Access, []doctor.Note) {
	groups, err := bounded(ctx, a, "the kinds of objects in the cluster of "+environment, checkTimeout, func(context.Context) ([]*restmapper.APIGroupResources, error) {
		return restmapper.GetAPIGroupResources(client.Discovery())
	})
	var brought []doctor.Access
	var notes []doctor.Note
	if err != nil {
		notes = []doctor.Note{{Title: "which kinds of objects the cluster knows could not be found out", Says: said(err)}}
	} else {
		brought, notes = a.brought(ctx, restmapper.NewDiscoveryRESTMapper(groups), req, environment, env.Namespace)
	}
	served := map[string]bool{"": true}
	for _, g := range groups {
		served[g.Group.Name] = true
	}
	var asked []doctor.Access
	for _, one := range doctor.Wanted(env, deploymentRights(env.Strategy), brought) {
		if err != nil || served[one.Group] {
			asked = append(asked, one)
		}
	}
	room := make(chan struct{}, reviews)
	var wait sync.WaitGroup
	for i := range asked {
		wait.Go(func() {
			room <- struct{}{}
			defer func() { <-room }()
			a.ask(ctx, client, &asked[i])
		})
	}
	wait.Wait()
	return asked, notes
}

// ask asks the cluster about a right.
func (a *App) ask(ctx context.Context, client kubernetes.Interface, one *doctor.Access) {
	type answer struct {
		allowed bool
		reason  string
	}
	got, err := bounded(ctx, a, "whether one may "+one.Right.String(), stepTimeout, func(ctx context.Context) (answer, error) {
		status, err := review(ctx, client, one.Namespace, one.Right)
		return answer{status.Allowed, status.Reason}, err
	})
	one.Allowed, one.Reason = got.allowed, got.reason
	if err != nil {
		one.Err = apiError("ask for rights", "review access", err)
	}
}

// brought are the rights to what the charts of services bring along; kinds that the cluster does not know are noted.
func (a *App) brought(ctx context.Context, mapper meta.RESTMapper, req DiagnoseRequest, environment, namespace string) (rights []doctor.Access, notes []doctor.Note) {
	for _, service := range req.Services {
		learnt := &helm.Brought{}
		checker := release.Checker{Charts: chart.Packer{Offline: true}, Layers: []check.Layer{learnt}}
		_, err := bounded(ctx, a, "the chart of "+service, checkTimeout, func(ctx context.Context) (check.Report, error) {
			return checker.Check(ctx, release.MakeRequest{Project: req.File.Project, Service: service, Dir: req.File.Dir}, []string{environment})
		})
		objects, rendered := learnt.Objects(environment)
		if err != nil || !rendered {
			notes = append(notes, doctor.Note{Title: "what the chart of " + service + " brings along is not known, for it was not rendered", Next: "sluice check " + service + " --env " + environment})
		}
		for _, o := range objects {
			at, err := mapper.RESTMapping(o.GroupKind(), o.Version)
			if err != nil {
				notes = append(notes, doctor.Note{
					Title: fmt.Sprintf("the chart of %s brings a %s of %s, a kind that the cluster does not know", service, o.Kind, o.GroupVersion()),
					Next:  "install what defines it, unless the chart does, or leave it out by the values of " + environment,
				})
				continue
			}
			rights = append(rights, holding(o, at, "the chart of "+service, namespace)...)
		}
	}
	return rights, notes
}

// holding are the rights to one kind of object of a chart.
func holding(o helm.Object, at *meta.RESTMapping, why, namespace string) []doctor.Access {
	rule := rbac.Rule{Why: why, Group: o.Group, Resources: []string{at.Resource.Resource}, Verbs: rbac.ObjectVerbs()}
	if o.Awaited {
		rule.Verbs = rbac.HookVerbs()
	}
	switch {
	case at.Scope.Name() == meta.RESTScopeNameRoot:
		namespace = ""
	case o.Namespace != "":
		namespace = o.Namespace
	}
	var rights []doctor.Access
	for _, right := range rbac.Rights([]rbac.Rule{rule}) {
		rights = append(rights, doctor.Access{Right: right, Namespace: namespace})
	}
	return rights
}
