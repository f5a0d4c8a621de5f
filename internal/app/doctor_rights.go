package app

import (
	"context"
	"fmt"
	"sync"

	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/api/meta"
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
func (e *examiner) access(ctx context.Context, req DiagnoseRequest, env v1alpha1.Environment) ([]doctor.Access, []doctor.Note) {
	groups, err := bounded(ctx, e.App, "the kinds of objects in the cluster of "+e.environment, max(e.limit, checkTimeout), func(context.Context) ([]*restmapper.APIGroupResources, error) {
		return restmapper.GetAPIGroupResources(e.client.Discovery())
	})
	var brought []doctor.Access
	var notes []doctor.Note
	if err != nil {
		notes = []doctor.Note{{Title: "which kinds of objects the cluster knows could not be found out", Says: said(err)}}
	} else {
		brought, notes = e.brought(ctx, restmapper.NewDiscoveryRESTMapper(groups), req, env.Namespace)
	}
	namespace, counted := ingressRights(env)
	for _, right := range counted {
		brought = append(brought, doctor.Access{Right: right, Namespace: namespace})
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
	e.askAll(ctx, env.Namespace, asked)
	return asked, notes
}

// askAll asks for all rules in the namespace at once, and then about each right that they do not give: an authorizer that is not made of
// rules lists none.
func (e *examiner) askAll(ctx context.Context, namespace string, asked []doctor.Access) {
	grants, _ := bounded(ctx, e.App, "the rights in "+namespace, e.limit, func(ctx context.Context) ([]rbac.Grant, error) {
		return (&cluster{client: e.client}).grants(ctx, namespace), nil
	})
	room := make(chan struct{}, reviews)
	var wait sync.WaitGroup
	for i := range asked {
		if asked[i].Namespace == namespace && len(rbac.Missing(grants, []rbac.Right{asked[i].Right})) == 0 {
			asked[i].Allowed = true
			continue
		}
		wait.Go(func() {
			room <- struct{}{}
			defer func() { <-room }()
			e.ask(ctx, &asked[i])
		})
	}
	wait.Wait()
}

// ask asks the cluster about a right.
func (e *examiner) ask(ctx context.Context, one *doctor.Access) {
	status, err := bounded(ctx, e.App, "whether one may "+one.Right.String(), e.limit, func(ctx context.Context) (authorizationv1.SubjectAccessReviewStatus, error) {
		return review(ctx, e.client, one.Namespace, one.Right)
	})
	one.Allowed, one.Reason = status.Allowed, status.Reason
	if err != nil {
		one.Err = apiError("ask for rights", "review access", err)
	}
}

// brought are the rights to what the charts of services bring along; kinds that the cluster does not know are noted.
func (e *examiner) brought(ctx context.Context, mapper meta.RESTMapper, req DiagnoseRequest, namespace string) (rights []doctor.Access, notes []doctor.Note) {
	for _, service := range req.Services {
		learnt := &helm.Brought{}
		checker := release.Checker{Charts: chart.Packer{Offline: true}, Layers: []check.Layer{learnt}}
		_, err := bounded(ctx, e.App, "the chart of "+service, checkTimeout, func(ctx context.Context) (check.Report, error) {
			return checker.Check(ctx, release.MakeRequest{Project: req.File.Project, Service: service, Dir: req.File.Dir}, []string{e.environment})
		})
		objects, rendered := learnt.Objects(e.environment)
		if err != nil || !rendered {
			notes = append(notes, doctor.Note{Title: "what the chart of " + service + " brings along is not known, for it was not rendered", Next: "sluice check " + service + " --env " + e.environment})
		}
		for _, o := range objects {
			at, err := mapper.RESTMapping(o.GroupKind(), o.Version)
			if err != nil {
				notes = append(notes, doctor.Note{
					Title: fmt.Sprintf("the chart of %s brings a %s of %s, a kind that the cluster does not know", service, o.Kind, o.GroupVersion()),
					Next:  "install what defines it, unless the chart does, or leave it out by the values of " + e.environment,
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
