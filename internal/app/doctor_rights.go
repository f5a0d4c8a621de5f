package app

import (
	"context"
	"slices"
	"strings"
	"sync"

	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/doctor"
)

// reviews is how many rights are asked about at once.
const reviews = 8

// access asks the cluster about every right that a deployment needs.
func (a *App) access(ctx context.Context, client kubernetes.Interface, env v1alpha1.Environment) []doctor.Access {
	wanted := doctor.Merged(doctor.Rights(env))
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
