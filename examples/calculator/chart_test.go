package calculator

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// switches are the optional parts, each with the values that switch it and the objects that it adds (%s is the full name).
func switches() map[string][]struct{ values, adds string } {
	return map[string][]struct{ values, adds string }{
		"route": {
			{"", ""},
			{"ingress: {enabled: true}", "Ingress/%s"},
			{"gateway: {enabled: true}", "HTTPRoute/%s"},
		},
		"autoscaling": {{"", ""}, {"autoscaling: {enabled: true}", "HorizontalPodAutoscaler/%s-frontend"}},
		"migration":   {{"", ""}, {"migration: {enabled: true}", "Job/%s-migrate"}},
		"persistence": {{"", ""}, {"persistence: {enabled: true}", "PersistentVolumeClaim/%s-data"}},
		"budget": {
			{"", "PodDisruptionBudget/%[1]s-frontend PodDisruptionBudget/%[1]s-backend"},
			{"podDisruptionBudget: {enabled: false}", ""},
		},
		"quiet": {{"", ""}, {"faults: {sayVersion: false}", ""}},
	}
}

// TestEveryCombination renders the chart with every combination of switches, under names of every kind, and checks exactly which
// objects come out and what each must have in every combination.
func TestEveryCombination(t *testing.T) {
	combinations := []struct{ values, adds []string }{{}}
	all := switches()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		var next []struct{ values, adds []string }
		for _, so := range combinations {
			for _, option := range all[name] {
				next = append(next, struct{ values, adds []string }{
					append(slices.Clone(so.values), option.values), append(slices.Clone(so.adds), option.adds),
				})
			}
		}
		combinations = next
	}
	for release, fullname := range map[string]string{
		"calculator":      "calculator",
		"calculator-blue": "calculator-blue",
		"demo":            "demo-calculator",
	} {
		for _, c := range combinations {
			name := release + " " + strings.Join(slices.DeleteFunc(slices.Clone(c.values), func(v string) bool { return v == "" }), " ")
			t.Run(name, func(t *testing.T) {
				got := mustRender(t, release, c.values...)
				want := strings.Fields(fmt.Sprintf("Deployment/%[1]s-frontend Deployment/%[1]s-backend Service/%[1]s-frontend Service/%[1]s-backend Pod/%[1]s-test", fullname))
				for _, adds := range c.adds {
					want = append(want, strings.Fields(strings.NewReplacer("%[1]s", fullname, "%s", fullname).Replace(adds))...)
				}
				slices.Sort(want)
				if diff := cmp.Diff(want, slices.Sorted(maps.Keys(got))); diff != "" {
					t.Fatalf("objects (-want +got):\n%s", diff)
				}
				essentials(t, got, release, fullname)
			})
		}
	}
}

// essentials checks what holds in every combination.
func essentials(t *testing.T, all objects, release, fullname string) {
	t.Helper()
	for key, o := range all {
		if got := o.GetLabels()["app.kubernetes.io/instance"]; got != release {
			t.Errorf("%s: instance label %q, want %q", key, got, release)
		}
		switch o := o.(type) {
		case *appsv1.Deployment:
			deployment(t, o)
		case *batchv1.Job:
			pod(t, key, o.Spec.Template.Spec)
		case *corev1.Pod:
			pod(t, key, o.Spec)
		case *corev1.Service:
			target := object[*appsv1.Deployment](t, all, "Deployment/"+o.Name)
			if diff := cmp.Diff(target.Spec.Selector.MatchLabels, o.Spec.Selector); diff != "" {
				t.Errorf("%s does not select its Deployment's pods:\n%s", key, diff)
			}
			if len(o.Spec.Ports) != 1 || o.Spec.Ports[0].Port != 80 || o.Spec.Ports[0].TargetPort.String() != "http" {
				t.Errorf("%s: ports %v, want 80 to the port called http", key, o.Spec.Ports)
			}
		}
	}
	front := object[*appsv1.Deployment](t, all, "Deployment/"+fullname+"-frontend")
	if got, want := variables(front)["BACKEND_URL"], "http://"+fullname+"-backend"; got != want {
		t.Errorf("the front end asks %s, want its own release's back end %s", got, want)
	}
	_, scaled := all["HorizontalPodAutoscaler/"+fullname+"-frontend"]
	if (front.Spec.Replicas == nil) != scaled {
		t.Errorf("replicas %v with autoscaling=%t: exactly one of the two may decide", front.Spec.Replicas, scaled)
	}
	back := object[*appsv1.Deployment](t, all, "Deployment/"+fullname+"-backend")
	if _, stored := all["PersistentVolumeClaim/"+fullname+"-data"]; stored {
		volumes, mounts := back.Spec.Template.Spec.Volumes, back.Spec.Template.Spec.Containers[0].VolumeMounts
		if len(volumes) != 1 || volumes[0].PersistentVolumeClaim.ClaimName != fullname+"-data" || len(mounts) != 1 ||
			mounts[0].MountPath != variables(back)["DATA_DIR"] {
			t.Errorf("the back end does not keep its data on the claim: volumes %v, mounts %v", volumes, mounts)
		}
	} else if len(back.Spec.Template.Spec.Volumes) != 0 || variables(back)["DATA_DIR"] != "" {
		t.Error("the back end has a volume although persistence is off")
	}
}

func deployment(t *testing.T, d *appsv1.Deployment) {
	t.Helper()
	pod(t, d.Name, d.Spec.Template.Spec)
	for key, value := range d.Spec.Selector.MatchLabels {
		if d.Spec.Template.Labels[key] != value {
			t.Errorf("%s: its pods lack the label %s=%s that it selects", d.Name, key, value)
		}
	}
	if got := d.Spec.Strategy.RollingUpdate.MaxUnavailable.String(); got != "0" {
		t.Errorf("%s: maxUnavailable %s, want 0", d.Name, got)
	}
	c := d.Spec.Template.Spec.Containers[0]
	if want := "registry.example.com/calculator/" + c.Name + "@sha256:"; !strings.HasPrefix(c.Image, want) {
		t.Errorf("%s: image %s, want %s…", d.Name, c.Image, want)
	}
	for name, probe := range map[string]struct {
		probe *corev1.Probe
		path  string
	}{
		"startup":   {c.StartupProbe, "/healthz"},
		"liveness":  {c.LivenessProbe, "/healthz"},
		"readiness": {c.ReadinessProbe, "/readyz"},
	} {
		if probe.probe == nil || probe.probe.HTTPGet.Path != probe.path || probe.probe.HTTPGet.Port.String() != "http" {
			t.Errorf("%s: %s probe %v, want GET %s on the port called http", d.Name, name, probe.probe, probe.path)
		}
	}
	if c.ReadinessProbe.PeriodSeconds != 1 {
		t.Errorf("%s: readiness is asked every %d s, want every second", d.Name, c.ReadinessProbe.PeriodSeconds)
	}
	if len(c.Ports) != 1 || c.Ports[0].Name != "http" || c.Ports[0].ContainerPort != 8080 {
		t.Errorf("%s: ports %v, want http 8080", d.Name, c.Ports)
	}
}

// pod checks what every pod needs, those of hooks too.
func pod(t *testing.T, name string, spec corev1.PodSpec) {
	t.Helper()
	s := spec.SecurityContext
	if s == nil || s.RunAsNonRoot == nil || !*s.RunAsNonRoot || s.RunAsUser == nil || *s.RunAsUser == 0 ||
		s.SeccompProfile == nil || s.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
		t.Errorf("%s: pod security %v, want a user that is not root and seccomp RuntimeDefault", name, s)
	}
	if spec.AutomountServiceAccountToken == nil || *spec.AutomountServiceAccountToken {
		t.Errorf("%s: a token for the API server is mounted, and nobody needs it", name)
	}
	for _, c := range spec.Containers {
		s := c.SecurityContext
		if s == nil || s.ReadOnlyRootFilesystem == nil || !*s.ReadOnlyRootFilesystem || s.AllowPrivilegeEscalation == nil ||
			*s.AllowPrivilegeEscalation || !slices.Equal(s.Capabilities.Drop, []corev1.Capability{"ALL"}) {
			t.Errorf("%s: container security %v, want a read-only root, no escalation, no capabilities", name, s)
		}
		for _, resource := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
			request, limit := c.Resources.Requests[resource], c.Resources.Limits[resource]
			if request.IsZero() || limit.IsZero() || request.Cmp(limit) > 0 {
				t.Errorf("%s: %s request %s, limit %s: want both, the request not above the limit", name, resource, &request, &limit)
			}
		}
	}
}

func variables(d *appsv1.Deployment) map[string]string {
	all := map[string]string{}
	for _, v := range d.Spec.Template.Spec.Containers[0].Env {
		all[v.Name] = v.Value
	}
	return all
}

func TestTwoReleasesShareNoName(t *testing.T) {
	const on = "{ingress: {enabled: true}, autoscaling: {enabled: true}, migration: {enabled: true}, persistence: {enabled: true}}"
	blue, green := mustRender(t, "calculator-blue", on), mustRender(t, "calculator-green", on)
	for key := range blue {
		if green[key] != nil {
			t.Errorf("%s is in both releases", key)
		}
	}
}

func TestLongNamesFit(t *testing.T) {
	long := strings.Repeat("calculator", 5) + "-abc" // 54 characters: Helm allows 53, an override any number
	for _, values := range []string{"{}", "fullnameOverride: " + long} {
		all := mustRender(t, long[:53], values, "{autoscaling: {enabled: true}, migration: {enabled: true}, persistence: {enabled: true}}")
		for key, o := range all {
			if len(o.GetName()) > 63 {
				t.Errorf("%s has %d characters, more than the 63 of a DNS label", key, len(o.GetName()))
			}
		}
	}
}

func TestRoutes(t *testing.T) {
	const host = "host: shop.example.com"
	ingress := object[*networkingv1.Ingress](t, mustRender(t, "calculator-blue", host,
		"ingress: {enabled: true, annotations: {a: b}, tls: [{secretName: s, hosts: [shop.example.com]}]}"), "Ingress/calculator-blue")
	rule := ingress.Spec.Rules[0]
	service := rule.HTTP.Paths[0].Backend.Service
	if *ingress.Spec.IngressClassName != "nginx" || rule.Host != "shop.example.com" || ingress.Annotations["a"] != "b" ||
		ingress.Spec.TLS[0].SecretName != "s" || service.Name != "calculator-blue-frontend" || service.Port.Number != 80 {
		t.Errorf("Ingress %+v", ingress.Spec)
	}

	const gateway = "gateway: {enabled: true}"
	route := object[*gatewayv1.HTTPRoute](t, mustRender(t, "calculator-blue", host, gateway), "HTTPRoute/calculator-blue")
	parent, backend := route.Spec.ParentRefs[0], route.Spec.Rules[0].BackendRefs[0]
	if parent.Name != "sluice" || *parent.Namespace != "sluice-system" || !slices.Equal(route.Spec.Hostnames, []gatewayv1.Hostname{"shop.example.com"}) ||
		backend.Name != "calculator-blue-frontend" || *backend.Port != 80 {
		t.Errorf("HTTPRoute %+v", route.Spec)
	}
	route = object[*gatewayv1.HTTPRoute](t, mustRender(t, "calculator", host, gateway, "gateway: {hostnames: [a.example.com, b.example.com]}"), "HTTPRoute/calculator")
	if !slices.Equal(route.Spec.Hostnames, []gatewayv1.Hostname{"a.example.com", "b.example.com"}) {
		t.Errorf("hostnames %v, want those of gateway.hostnames", route.Spec.Hostnames)
	}
}

func TestHooks(t *testing.T) {
	all := mustRender(t, "calculator-blue", "migration: {enabled: true, exitCode: 3}")
	test := object[*corev1.Pod](t, all, "Pod/calculator-blue-test")
	if test.Annotations["helm.sh/hook"] != "test" || test.Annotations["helm.sh/hook-delete-policy"] != "before-hook-creation,hook-succeeded" {
		t.Errorf("test annotations %v", test.Annotations)
	}
	want := []string{"check", "--url", "http://calculator-blue-frontend/api/calculate?number=221", "--want", "13,17"}
	if diff := cmp.Diff(want, test.Spec.Containers[0].Args); diff != "" {
		t.Errorf("test arguments (-want +got):\n%s", diff)
	}
	job := object[*batchv1.Job](t, all, "Job/calculator-blue-migrate")
	if job.Annotations["helm.sh/hook"] != "pre-upgrade" || *job.Spec.BackoffLimit != 0 {
		t.Errorf("migration: annotations %v, backoffLimit %d", job.Annotations, *job.Spec.BackoffLimit)
	}
	if diff := cmp.Diff([]string{"migrate", "--exit-code", "3"}, job.Spec.Template.Spec.Containers[0].Args); diff != "" {
		t.Errorf("migration arguments (-want +got):\n%s", diff)
	}
}
