package app

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/deploy/helm"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/rbac"
)

// reviews is how many single rights are asked for at a time.
const reviews = 8

// deploymentRights are the rights without which no deployment into an environment ends well, whatever its chart holds.
func deploymentRights(strategy v1alpha1.Strategy) []rbac.Right {
	uses := []rbac.Use{rbac.Every}
	var traffic *v1alpha1.Traffic
	switch {
	case strategy.BlueGreen != nil:
		traffic = &strategy.BlueGreen.Traffic
	case strategy.Canary != nil:
		traffic = &strategy.Canary.Traffic
	}
	if traffic != nil {
		uses = append(uses, rbac.Slots)
		switch traffic.Router() {
		case v1alpha1.RouterNginx:
			uses = append(uses, rbac.Nginx)
		case v1alpha1.RouterGateway:
			uses = append(uses, rbac.Gateway)
		case v1alpha1.RouterService, v1alpha1.RouterNone:
		}
	}
	return rbac.Rights(rbac.Deploy().For(uses...))
}

// ingressRights are those without which the analysis of an environment counts nothing, and the namespace where they are needed, "" for the
// whole cluster. There are none where it reads elsewhere.
func ingressRights(env v1alpha1.Environment) (namespace string, wanted []rbac.Right) {
	if env.Analysis == nil {
		return "", nil
	}
	if source := env.Analysis.Source; source != nil {
		if source.Ingress == nil || len(source.Ingress.URLs) > 0 {
			return "", nil
		}
		namespace = source.Ingress.Namespace
	}
	return namespace, rbac.Rights(rbac.Ingress().For(rbac.Counts))
}

// allowedIn is allowed for all that a deployment into an environment takes, also outside of its namespace. A way back is not analyzed, so
// that it must not fail for want of what is outside.
func (c *cluster) allowedIn(ctx context.Context, env v1alpha1.Environment, back bool) error {
	err := c.allowed(ctx, env.Namespace, deploymentRights(env.Strategy))
	namespace, wanted := ingressRights(env)
	if back || len(wanted) == 0 || fault.Is(err, fault.Interrupted) {
		return err
	}
	return together(err, c.allowed(ctx, namespace, wanted))
}

// together joins errors; one alone stays as it is.
func together(errs ...error) error {
	errs = slices.DeleteFunc(errs, func(err error) bool { return err == nil })
	if len(errs) == 1 {
		return errs[0]
	}
	return errors.Join(errs...)
}

// allowed returns an error that names the rights which the credentials lack in a namespace; it writes nothing. Where the API server does not
// tell, nothing is held against anybody: what is lacking is then found out when it is needed.
func (c *cluster) allowed(ctx context.Context, namespace string, wanted []rbac.Right) error {
	missing := c.missing(ctx, namespace, wanted)
	if ctx.Err() != nil {
		return fault.Wrap(fault.Interrupted, "look at the rights in namespace "+namespace, ctx.Err())
	}
	if len(missing) == 0 {
		return nil
	}
	where := "in namespace " + namespace
	if namespace == "" {
		where = "in the whole cluster"
	}
	return fault.New(fault.Forbidden, "rights "+where, "%s may not\n  %s", c.whoami(ctx), strings.Join(rbac.Summary(missing), "\n  ")).
		WithHint("nothing was deployed; let whoever manages the namespace give them: docs/operations/rbac.md has the manifests")
}

// allowedKinds is the same for the kinds of objects that a chart holds.
func (c *cluster) allowedKinds(ctx context.Context, kinds []helm.Kind) error {
	wanted := map[string][]rbac.Right{}
	for _, kind := range kinds {
		rule := rbac.Rule{Why: "the chart holds such", Group: kind.Group, Resources: []string{kind.Resource}, Verbs: rbac.ObjectVerbs()}
		if kind.Awaited {
			rule.Verbs = rbac.HookVerbs()
		}
		wanted[kind.Namespace] = append(wanted[kind.Namespace], rbac.Rights([]rbac.Rule{rule})...)
	}
	var errs []error
	for _, namespace := range slices.Sorted(maps.Keys(wanted)) {
		errs = append(errs, c.allowed(ctx, namespace, wanted[namespace]))
	}
	return together(errs...)
}

// missing asks first for all rules at once, and then for each right that they do not give: an authorizer that is not made of rules, as the
// webhooks of clouds are, lists none.
func (c *cluster) missing(ctx context.Context, namespace string, wanted []rbac.Right) []rbac.Right {
	unlisted := rbac.Missing(c.grants(ctx, namespace), wanted)
	refused := make([]bool, len(unlisted))
	turn := make(chan struct{}, reviews)
	var wg sync.WaitGroup
	for i, right := range unlisted {
		wg.Go(func() {
			turn <- struct{}{}
			refused[i] = c.refuses(ctx, namespace, right)
			<-turn
		})
	}
	wg.Wait()
	var out []rbac.Right
	known := map[string]bool{}
	for i, right := range unlisted {
		if refused[i] && c.knows(right.Group, known) {
			out = append(out, right)
		}
	}
	return out
}

// grants are the rules that hold in a namespace, as far as the API server lists them.
func (c *cluster) grants(ctx context.Context, namespace string) []rbac.Grant {
	if namespace == "" {
		// What a Role gives does not count for what belongs to no namespace.
		return nil
	}
	review, err := c.client.AuthorizationV1().SelfSubjectRulesReviews().Create(ctx, &authorizationv1.SelfSubjectRulesReview{
		Spec: authorizationv1.SelfSubjectRulesReviewSpec{Namespace: namespace},
	}, metav1.CreateOptions{})
	if err != nil {
		return nil
	}
	grants := make([]rbac.Grant, 0, len(review.Status.ResourceRules))
	for _, r := range review.Status.ResourceRules {
		grants = append(grants, rbac.Grant{Groups: r.APIGroups, Resources: r.Resources, Names: r.ResourceNames, Verbs: r.Verbs})
	}
	return grants
}

// refuses says that the API server has said no.
func (c *cluster) refuses(ctx context.Context, namespace string, right rbac.Right) bool {
	status, err := review(ctx, c.client, namespace, right)
	return err == nil && !status.Allowed
}

// review asks the API server about a right. The question leaves nothing behind.
func review(ctx context.Context, client kubernetes.Interface, namespace string, right rbac.Right) (authorizationv1.SubjectAccessReviewStatus, error) {
	resource, sub, _ := strings.Cut(right.Resource, "/")
	review, err := client.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, &authorizationv1.SelfSubjectAccessReview{
		Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &authorizationv1.ResourceAttributes{
			Namespace: namespace, Verb: right.Verb, Group: right.Group, Resource: resource, Subresource: sub, Name: right.Name,
		}},
	}, metav1.CreateOptions{})
	if err != nil {
		return authorizationv1.SubjectAccessReviewStatus{}, err
	}
	return review.Status, nil
}

// knows says whether the cluster serves a group at all: there is no need of a right to what does not exist.
func (c *cluster) knows(group string, known map[string]bool) bool {
	if group == "" {
		return true
	}
	if found, ok := known[group]; ok {
		return found
	}
	found := serves(c.client, group)
	known[group] = found
	return found
}

// serves is false only where the API server says so.
func serves(client kubernetes.Interface, group string) bool {
	groups, err := client.Discovery().ServerGroups()
	if err != nil || groups == nil {
		return true
	}
	for _, g := range groups.Groups {
		if g.Name == group {
			return true
		}
	}
	return false
}

// whoami is the name under which the API server knows the credentials.
func (c *cluster) whoami(ctx context.Context) string {
	review, err := c.client.AuthenticationV1().SelfSubjectReviews().Create(ctx, &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	if err != nil || review.Status.UserInfo.Username == "" {
		return "these credentials"
	}
	return fmt.Sprintf("user %q", review.Status.UserInfo.Username)
}
