package app

import (
	"errors"
	"slices"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/deploy/helm"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/rbac"
)

// authorizer is a fake of what an API server says of somebody's rights; how many single ones were asked for it counts.
type authorizer struct {
	rules  []authorizationv1.ResourceRule
	allows func(authorizationv1.ResourceAttributes) bool
	broken bool
	// noGateway: the cluster does not know the Gateway API.
	noGateway bool
	asked     []string
}

func (a *authorizer) cluster() *cluster {
	client := fake.NewClientset()
	client.Resources = []*metav1.APIResourceList{{GroupVersion: "v1"}, {GroupVersion: "apps/v1"}, {GroupVersion: "networking.k8s.io/v1"},
		{GroupVersion: "coordination.k8s.io/v1"}, {GroupVersion: "discovery.k8s.io/v1"}, {GroupVersion: "autoscaling/v2"}}
	if !a.noGateway {
		client.Resources = append(client.Resources, &metav1.APIResourceList{GroupVersion: "gateway.networking.k8s.io/v1"})
	}
	client.PrependReactor("create", "*", func(action clienttesting.Action) (bool, runtime.Object, error) {
		object := action.(clienttesting.CreateAction).GetObject()
		if a.broken {
			return true, nil, errors.New("out of order")
		}
		switch review := object.(type) {
		case *authorizationv1.SelfSubjectRulesReview:
			review.Status.ResourceRules = a.rules
		case *authorizationv1.SelfSubjectAccessReview:
			want := *review.Spec.ResourceAttributes
			a.asked = append(a.asked, want.Verb+" "+want.Resource+"/"+want.Subresource)
			review.Status.Allowed = a.allows != nil && a.allows(want)
		case *authenticationv1.SelfSubjectReview:
			review.Status.UserInfo.Username = "ci"
		}
		return true, object, nil
	})
	return &cluster{client: client}
}

func rulesOf(role rbac.Role) []authorizationv1.ResourceRule {
	var out []authorizationv1.ResourceRule
	for _, r := range role.Rules {
		out = append(out, authorizationv1.ResourceRule{APIGroups: []string{r.Group}, Resources: r.Resources, ResourceNames: r.Names, Verbs: r.Verbs})
	}
	return out
}

func canaryBy(t v1alpha1.Traffic) v1alpha1.Strategy {
	return v1alpha1.Strategy{Canary: &v1alpha1.Canary{Traffic: t}}
}

// TestDeploymentRights takes the rights of a deployment away one by one: each is missed, by name, and no other.
func TestDeploymentRights(t *testing.T) {
	strategy := canaryBy(v1alpha1.Traffic{Nginx: &v1alpha1.NginxTraffic{}})
	wanted := deploymentRights(strategy)
	if len(wanted) < 30 {
		t.Fatalf("only %d rights are needed: %v", len(wanted), wanted)
	}
	all := &authorizer{rules: rulesOf(rbac.Deploy())}
	if err := all.cluster().allowed(t.Context(), "shop", wanted); err != nil || len(all.asked) > 0 {
		t.Fatalf("with all rights: %v, %v was asked", err, all.asked)
	}
	for _, right := range wanted {
		a := &authorizer{rules: without(rulesOf(rbac.Deploy()), right)}
		err := a.cluster().allowed(t.Context(), "shop", wanted)
		line := "\n  " + right.String()
		if fault.ExitCode(err) != 8 || !strings.Contains(err.Error(), line) || strings.Count(err.Error(), "\n") != 1 ||
			!strings.Contains(err.Error(), `user "ci" may not`) || !strings.Contains(err.Error(), "namespace shop") {
			t.Errorf("without %s: %v", right, err)
		}
	}
}

// without takes one verb on one resource out of rules.
func without(rules []authorizationv1.ResourceRule, right rbac.Right) []authorizationv1.ResourceRule {
	var out []authorizationv1.ResourceRule
	for _, r := range rules {
		for _, resource := range r.Resources {
			verbs := slices.Clone(r.Verbs)
			if r.APIGroups[0] == right.Group && resource == right.Resource {
				verbs = slices.DeleteFunc(verbs, func(v string) bool { return v == right.Verb })
			}
			out = append(out, authorizationv1.ResourceRule{APIGroups: r.APIGroups, Resources: []string{resource}, Verbs: verbs})
		}
	}
	return out
}

func TestDeploymentRightsByStrategy(t *testing.T) {
	update := func(group, resource string) rbac.Right {
		return rbac.Right{Verb: "update", Group: group, Resource: resource}
	}
	ingresses, routes, services := update("networking.k8s.io", "ingresses"), update("gateway.networking.k8s.io", "httproutes"), update("", "services")
	for name, tt := range map[string]struct {
		strategy v1alpha1.Strategy
		want     []rbac.Right
	}{
		"direct":  {v1alpha1.Strategy{Direct: &v1alpha1.Direct{}}, nil},
		"nginx":   {canaryBy(v1alpha1.Traffic{Nginx: &v1alpha1.NginxTraffic{}}), []rbac.Right{ingresses, services}},
		"gateway": {canaryBy(v1alpha1.Traffic{Gateway: &v1alpha1.GatewayTraffic{}}), []rbac.Right{routes, services}},
		"service": {v1alpha1.Strategy{BlueGreen: &v1alpha1.BlueGreen{Traffic: v1alpha1.Traffic{Service: &v1alpha1.ServiceTraffic{}}}}, []rbac.Right{services}},
	} {
		rights := deploymentRights(tt.strategy)
		for _, right := range []rbac.Right{ingresses, routes, services} {
			needed := slices.ContainsFunc(rights, func(r rbac.Right) bool { r.Why = ""; return r == right })
			if needed != slices.Contains(tt.want, right) {
				t.Errorf("%s: %s is needed: %t", name, right, needed)
			}
		}
	}
}

// TestRightsOverTheIngress: an analysis that reads the ingress controller needs rights where that is, and no other does.
func TestRightsOverTheIngress(t *testing.T) {
	of := func(source *v1alpha1.RequestSource) v1alpha1.Environment {
		return v1alpha1.Environment{
			Namespace: "shop", Strategy: canaryBy(v1alpha1.Traffic{Nginx: &v1alpha1.NginxTraffic{}}), Analysis: &v1alpha1.Analysis{Source: source},
		}
	}
	everywhere := []string{"list pods/", "list services/", "get pods/proxy"}
	for name, tt := range map[string]struct {
		env  v1alpha1.Environment
		in   string
		want []string
	}{
		"none":       {v1alpha1.Environment{Namespace: "shop", Strategy: v1alpha1.Strategy{Direct: &v1alpha1.Direct{}}}, "", nil},
		"default":    {of(nil), "in the whole cluster", everywhere},
		"everywhere": {of(&v1alpha1.RequestSource{Ingress: &v1alpha1.IngressSource{}}), "in the whole cluster", everywhere},
		"named":      {of(&v1alpha1.RequestSource{Ingress: &v1alpha1.IngressSource{Namespace: "edge"}}), "in namespace edge", everywhere},
		"URLs":       {of(&v1alpha1.RequestSource{Ingress: &v1alpha1.IngressSource{URLs: []string{"http://x"}}}), "", nil},
		"Prometheus": {of(&v1alpha1.RequestSource{Prometheus: &v1alpha1.PrometheusCounters{}}), "", nil},
	} {
		a := &authorizer{rules: rulesOf(rbac.Deploy())}
		if tt.in == "in namespace edge" {
			a.rules = nil // the fake lists the same rules in every namespace
			a.allows = func(r authorizationv1.ResourceAttributes) bool { return r.Namespace == "shop" }
		}
		err := a.cluster().allowedIn(t.Context(), tt.env, false)
		refused := fault.ExitCode(err) == 8 && strings.Contains(err.Error(), "rights "+tt.in) && strings.Contains(err.Error(), "get pods/proxy") &&
			!strings.Contains(err.Error(), "namespace shop")
		if refused != (tt.want != nil) || err != nil && tt.want == nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, question := range tt.want {
			if !slices.Contains(a.asked, question) {
				t.Errorf("%s: %s is not asked for", name, question)
			}
		}
	}
	// The way back is not analyzed, and open to whoever may deploy.
	back := &authorizer{rules: rulesOf(rbac.Deploy())}
	if err := back.cluster().allowedIn(t.Context(), of(nil), true); err != nil || len(back.asked) > 0 {
		t.Errorf("on the way back: %v; asked %q", err, back.asked)
	}
	if err := (&authorizer{}).cluster().allowedIn(t.Context(), of(nil), true); fault.ExitCode(err) != 8 {
		t.Errorf("on the way back without any right: %v", err)
	}
	// Who has the role may deploy, wherever it is bound.
	all := &authorizer{rules: rulesOf(rbac.Deploy()), allows: func(r authorizationv1.ResourceAttributes) bool {
		return r.Namespace == "" && slices.Contains(everywhere, r.Verb+" "+r.Resource+"/"+r.Subresource)
	}}
	if err := all.cluster().allowedIn(t.Context(), of(nil), false); err != nil {
		t.Error(err)
	}
}

// TestRightsThatNoRuleGives: the authorizers of clouds list no rules, and are asked for each right.
func TestRightsThatNoRuleGives(t *testing.T) {
	wanted := deploymentRights(v1alpha1.Strategy{Direct: &v1alpha1.Direct{}})
	webhook := &authorizer{allows: func(a authorizationv1.ResourceAttributes) bool { return a.Namespace == "shop" }}
	if err := webhook.cluster().allowed(t.Context(), "shop", wanted); err != nil || len(webhook.asked) != len(wanted) {
		t.Errorf("%v; %d of %d were asked for", err, len(webhook.asked), len(wanted))
	}
	// Who does not answer forbids nothing.
	if err := (&authorizer{broken: true}).cluster().allowed(t.Context(), "shop", wanted); err != nil {
		t.Error(err)
	}
}

// TestNoRightToWhatIsNotThere: a cluster without the Gateway API refuses its kinds for want of a right, before it says that there is none.
func TestNoRightToWhatIsNotThere(t *testing.T) {
	err := (&authorizer{noGateway: true}).cluster().allowed(t.Context(), "shop", deploymentRights(v1alpha1.Strategy{Direct: &v1alpha1.Direct{}}))
	if err == nil || strings.Contains(err.Error(), "httproutes") || !strings.Contains(err.Error(), "list ingresses.networking.k8s.io") {
		t.Error(err)
	}
}

func TestRightsToWhatAChartHolds(t *testing.T) {
	a := &authorizer{rules: rulesOf(rbac.Deploy())}
	kinds := []helm.Kind{
		{Namespace: "shop", Group: "apps", Resource: "deployments"}, {Namespace: "shop", Group: "batch", Resource: "jobs", Awaited: true},
		{Namespace: "shop", Resource: "limitranges"}, {Resource: "priorityclasses", Group: "scheduling.k8s.io"},
	}
	c := a.cluster()
	c.client.(*fake.Clientset).Resources = append(c.client.(*fake.Clientset).Resources, &metav1.APIResourceList{GroupVersion: "scheduling.k8s.io/v1"})
	err := c.allowedKinds(t.Context(), kinds)
	if fault.ExitCode(err) != 8 || !strings.Contains(err.Error(), "get, create, patch, delete limitranges") ||
		!strings.Contains(err.Error(), "whole cluster") || !strings.Contains(err.Error(), "priorityclasses.scheduling.k8s.io") ||
		strings.Contains(err.Error(), "deployments") || strings.Contains(err.Error(), "jobs") {
		t.Error(err)
	}
	if err := c.allowedKinds(t.Context(), kinds[:2]); err != nil {
		t.Error(err)
	}
}
