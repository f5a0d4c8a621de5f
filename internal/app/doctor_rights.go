package app

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/restmapper"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/build/chart"
	"github.com/sluice-dev/sluice/internal/check"
	"github.com/sluice-dev/sluice/internal/deploy/helm"
	"github.com/sluice-dev/sluice/internal/doctor"
	"github.com/sluice-dev/sluice/internal/release"
)

// reviews is how many rights are asked about at once.
const reviews = 8

// access asks the cluster about every right that a deployment needs.
func (a *App) access(ctx context.Context, client kubernetes.Interface, env v1alpha1.Environment, brought []doctor.Right) []doctor.Access {
	wanted := doctor.Merged(append(doctor.Rights(env), brought...))
	found := make([]doctor.Access, len(wanted))
	room := make(chan struct{}, reviews)
	var wait sync.WaitGroup
	for i, right := range wanted {
		wait.Go(func() {
			room <- struct{}{}
			defer func() { <-room }()
			found[i] = a.granted(ctx, client, env.Namespace, right)
		})
	}
	wait.Wait()
	return found
}

// granted asks about each verb of a right.
func (a *App) granted(ctx context.Context, client kubernetes.Interface, namespace string, right doctor.Right) doctor.Access {
	found := doctor.Access{Right: right}
	if right.Cluster {
		namespace = ""
	}
	for _, verb := range right.Verbs {
		answer, err := a.may(ctx, client, namespace, right, verb)
		if err != nil {
			found.Err = err
			return found
		}
		if answer.Allowed {
			continue
		}
		found.Missing = append(found.Missing, verb)
		for _, reason := range []string{answer.Reason, answer.EvaluationError} {
			if reason != "" && !slices.Contains(found.Reasons, reason) {
				found.Reasons = append(found.Reasons, reason)
			}
		}
	}
	return found
}

// brought are the rights to what the charts of services bring along, and the kinds of it that the cluster does not know.
func (a *App) brought(ctx context.Context, client kubernetes.Interface, req DiagnoseRequest, environment string) (rights []doctor.Right, notes []doctor.Note) {
	var mapper meta.RESTMapper
	_, err := bounded(ctx, a, "the kinds of objects in the cluster of "+environment, checkTimeout, func(context.Context) (struct{}, error) {
		groups, err := restmapper.GetAPIGroupResources(client.Discovery())
		mapper = restmapper.NewDiscoveryRESTMapper(groups)
		return struct{}{}, err
	})
	if err != nil {
		return nil, []doctor.Note{{Title: "which kinds of objects the cluster knows could not be found out", Says: said(err)}}
	}
	for _, service := range req.Services {
		learnt := &helm.Brought{}
		checker := release.Checker{Charts: chart.Packer{Offline: true}, Layers: []check.Layer{learnt}}
		_, err := bounded(ctx, a, "the chart of "+service, checkTimeout, func(ctx context.Context) (check.Report, error) {
			return checker.Check(ctx, release.MakeRequest{Project: req.File.Project, Service: service, Dir: req.File.Dir}, []string{environment})
		})
		kinds, rendered := learnt.Kinds(environment)
		if err != nil || !rendered {
			notes = append(notes, doctor.Note{Title: "what the chart of " + service + " brings along is not known, for it was not rendered", Next: "sluice check " + service + " --env " + environment})
		}
		for _, kind := range kinds {
			at, err := mapper.RESTMapping(kind.GroupKind(), kind.Version)
			if err != nil {
				notes = append(notes, doctor.Note{
					Title: fmt.Sprintf("the chart of %s brings a %s of %s, a kind that the cluster does not know", service, kind.Kind, kind.GroupVersion()),
					Next:  "install what defines it, unless the chart does, or leave it out of the values of " + environment,
				})
				continue
			}
			rights = append(rights, doctor.Brought(kind.Group, at.Resource.Resource, service, at.Scope.Name() == meta.RESTScopeNameRoot))
		}
	}
	return rights, notes
}

// may asks the cluster whether something is allowed. Such a question leaves nothing behind.
func (a *App) may(ctx context.Context, client kubernetes.Interface, namespace string, right doctor.Right, verb string) (authorizationv1.SubjectAccessReviewStatus, error) {
	resource, sub, _ := strings.Cut(right.Resource, "/")
	attributes := &authorizationv1.ResourceAttributes{Namespace: namespace, Verb: verb, Group: right.Group, Resource: resource, Subresource: sub}
	if len(right.Names) > 0 {
		attributes.Name = right.Names[0]
	}
	review, err := bounded(ctx, a, "whether "+verb+" "+right.Resource+" is allowed", stepTimeout, func(ctx context.Context) (*authorizationv1.SelfSubjectAccessReview, error) {
		return client.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, &authorizationv1.SelfSubjectAccessReview{
			Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: attributes},
		}, metav1.CreateOptions{})
	})
	if err != nil {
		return authorizationv1.SubjectAccessReviewStatus{}, apiError("ask for rights", "review access", err)
	}
	return review.Status, nil
}
