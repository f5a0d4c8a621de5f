package ingress_test

import (
	"cmp"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/metric"
	"github.com/sluice-dev/sluice/internal/metric/ingress"
	"github.com/sluice-dev/sluice/test/proxy"
)

// cluster is an API server with pods, of which it knows the list and the way to their metrics.
type cluster struct {
	*proxy.Proxy
	t *testing.T

	mu       sync.Mutex
	pods     []corev1.Pod
	services []corev1.Service
	// pages by NAMESPACE/POD:PORT/PATH.
	pages map[string]*controller
	asked []string
}

func newCluster(t *testing.T) *cluster {
	k := &cluster{t: t, pages: map[string]*controller{}}
	k.Proxy = proxy.New(t, http.HandlerFunc(k.answer))
	return k
}

func (k *cluster) answer(w http.ResponseWriter, r *http.Request) {
	k.mu.Lock()
	defer k.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	path, isPod := strings.CutPrefix(r.URL.Path, "/api/v1/namespaces/")
	namespace, rest, proxied := strings.Cut(path, "/pods/")
	if !isPod || !proxied {
		k.asked = append(k.asked, r.URL.Path+"?"+r.URL.Query().Get("labelSelector"))
		_ = json.NewEncoder(w).Encode(k.list(r))
		return
	}
	name := namespace + "/" + strings.Replace(rest, "/proxy", "", 1)
	page := k.pages[name]
	if page == nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		_ = json.NewEncoder(w).Encode(metav1.Status{TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: "Failure", Code: 503, Message: "no way to " + name})
		return
	}
	_, _ = w.Write([]byte(page.page()))
}

// list gives what has the labels that are asked for.
func (k *cluster) list(r *http.Request) any {
	selector, err := labels.Parse(r.URL.Query().Get("labelSelector"))
	if err != nil {
		k.t.Error(err)
	}
	path, named := strings.CutPrefix(r.URL.Path, "/api/v1/namespaces/")
	namespace, _, _ := strings.Cut(path, "/")
	in := func(m metav1.ObjectMeta) bool {
		return selector.Matches(labels.Set(m.Labels)) && (!named || namespace == m.Namespace)
	}
	if strings.HasSuffix(r.URL.Path, "/services") {
		list := corev1.ServiceList{TypeMeta: metav1.TypeMeta{Kind: "ServiceList", APIVersion: "v1"}}
		for _, s := range k.services {
			if in(s.ObjectMeta) {
				list.Items = append(list.Items, s)
			}
		}
		return list
	}
	list := corev1.PodList{TypeMeta: metav1.TypeMeta{Kind: "PodList", APIVersion: "v1"}}
	for _, p := range k.pods {
		if in(p.ObjectMeta) {
			list.Items = append(list.Items, p)
		}
	}
	return list
}

func (k *cluster) client() kubernetes.Interface {
	return kubernetes.NewForConfigOrDie(&rest.Config{Host: k.Server.URL, QPS: -1})
}

func (k *cluster) add(page *controller, at, namespace, name string, labels map[string]string, ports ...corev1.ContainerPort) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.pods = append(k.pods, corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: labels},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Ports: ports}}},
		Status:     corev1.PodStatus{Phase: corev1.PodRunning},
	})
	if page != nil {
		k.pages[namespace+"/"+name+":"+at] = page
	}
}

func app(name string) map[string]string { return map[string]string{"app.kubernetes.io/name": name} }

func (k *cluster) source(t *testing.T, c *clock, o ingress.PodOptions) *ingress.Source {
	t.Helper()
	o.Client, o.Now = k.client(), c.Now
	s, err := ingress.New(ingress.Options{Finder: ingress.Pods(o), Now: c.Now, AnswerTime: time.Minute}).Source(subject(), metric.Question{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestPods(t *testing.T) {
	metrics := corev1.ContainerPort{Name: "metrics", ContainerPort: 9100}
	for name, test := range map[string]struct {
		format, at string
		labels     map[string]string
		ports      []corev1.ContainerPort
		options    ingress.PodOptions
		list       string
	}{
		"Traefik": {"traefik", "9100/metrics", app("traefik"), []corev1.ContainerPort{{Name: "web", ContainerPort: 8000}, metrics}, ingress.PodOptions{},
			"/api/v1/pods?app.kubernetes.io/name in (traefik,ingress-nginx)"},
		"Traefik without a name for the port": {"traefik", "9100/metrics", app("traefik"), nil, ingress.PodOptions{}, ""},
		"ingress-nginx":                       {"nginx", "10254/metrics", app("ingress-nginx"), nil, ingress.PodOptions{}, ""},
		"Envoy": {"envoy", "9901/stats/prometheus", map[string]string{"app": "envoy"}, nil, ingress.PodOptions{Namespace: "projectcontour", Labels: "app=envoy"},
			"/api/v1/namespaces/projectcontour/pods?app=envoy"},
		"a port by name":      {"envoy", "8002/stats", map[string]string{"a": "b"}, []corev1.ContainerPort{{Name: "admin", ContainerPort: 8002}}, ingress.PodOptions{Labels: "a=b", Port: "admin", Path: "stats"}, ""},
		"a port by number":    {"traefik", "1234/metrics", app("traefik"), []corev1.ContainerPort{metrics}, ingress.PodOptions{Port: "1234"}, ""},
		"a path from its top": {"traefik", "9100/m", app("traefik"), nil, ingress.PodOptions{Path: "/m"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			c, k := newClock(), newCluster(t)
			x := newController(t, c, test.format)
			x.serve(blue, 1, 0, 0)
			k.add(x, test.at, cmp.Or(test.options.Namespace, "ingress"), "one", test.labels, test.ports...)
			s := k.source(t, c, test.options)
			read(t, c, s)
			x.serve(blue, 3, 0, 0)
			r := read(t, c, s)
			if r.Slots[blue].Requests != 3 || r.Lacking != "" || r.Cost.Requests != 1 {
				t.Errorf("it read %+v", r)
			}
			if test.list != "" && k.asked[0] != test.list {
				t.Errorf("it listed %s", k.asked[0])
			}
		})
	}
}

// Where the pods have other labels, those of a Service lead to them: each is read by itself, at the port that the Service calls metrics.
func TestPodsBehindAService(t *testing.T) {
	to := func(port string, target intstr.IntOrString, selector map[string]string) corev1.ServiceSpec {
		return corev1.ServiceSpec{Selector: selector, Ports: []corev1.ServicePort{{Name: port, Port: 9999, TargetPort: target}}}
	}
	own := map[string]string{"app": "edge"}
	named := []corev1.ContainerPort{{Name: "inside", ContainerPort: 9200}}
	for name, test := range map[string]struct {
		at      string
		specs   []corev1.ServiceSpec
		ports   []corev1.ContainerPort
		options ingress.PodOptions
	}{
		"by number":         {"9200/metrics", []corev1.ServiceSpec{to("metrics", intstr.FromInt32(9200), own)}, nil, ingress.PodOptions{}},
		"by name":           {"9200/metrics", []corev1.ServiceSpec{to("metrics", intstr.FromString("inside"), own)}, named, ingress.PodOptions{}},
		"as the Service's":  {"9999/metrics", []corev1.ServiceSpec{to("metrics", intstr.IntOrString{}, own)}, nil, ingress.PodOptions{}},
		"another name":      {"9200/metrics", []corev1.ServiceSpec{to("admin", intstr.FromInt32(9200), own)}, nil, ingress.PodOptions{Port: "admin"}},
		"a number of one's": {"9300/m", []corev1.ServiceSpec{to("metrics", intstr.FromInt32(9200), own)}, nil, ingress.PodOptions{Port: "9300", Path: "m", Namespace: "edge"}},
		"no port":           {"9100/metrics", []corev1.ServiceSpec{to("web", intstr.FromInt32(80), own)}, nil, ingress.PodOptions{}},
		"several Services":  {"9200/metrics", []corev1.ServiceSpec{to("web", intstr.FromInt32(80), own), to("metrics", intstr.FromInt32(9200), own)}, nil, ingress.PodOptions{}},
	} {
		t.Run(name, func(t *testing.T) {
			c, k := newClock(), newCluster(t)
			one, two := newController(t, c, "traefik"), newController(t, c, "traefik")
			k.add(one, test.at, "edge", "one", own, test.ports...)
			k.add(two, test.at, "edge", "two", own, test.ports...)
			k.add(nil, "", "edge", "pending", own)
			k.pods[2].Status.Phase = corev1.PodPending
			k.add(nil, "", "elsewhere", "one", own)
			for _, spec := range test.specs {
				k.services = append(k.services, corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "edge", Name: "edge", Labels: app("traefik")}, Spec: spec})
			}
			one.serve(blue, 1, 0, 0)
			s := k.source(t, c, test.options)
			read(t, c, s)
			one.serve(blue, 3, 0, 0)
			two.serve(blue, 4, 0, 0)
			r := read(t, c, s)
			if r.Slots[blue].Requests != 7 || r.Lacking != "" || r.Cost.Requests != 2 {
				t.Errorf("it read %+v", r)
			}
		})
	}
}

// Pods come and go: one that is new begins where it is found, and one that is gone takes nothing with it.
func TestPodsChange(t *testing.T) {
	c, k := newClock(), newCluster(t)
	one, two := newController(t, c, "traefik"), newController(t, c, "traefik")
	one.serve(blue, 10, 0, 0)
	k.add(one, "9100/metrics", "traefik", "one", app("traefik"))
	k.add(nil, "", "traefik", "pending", app("traefik"))
	k.pods[1].Status.Phase = corev1.PodPending
	k.add(nil, "", "nginx", "admission", map[string]string{"app.kubernetes.io/name": "ingress-nginx", "app.kubernetes.io/component": "admission-webhook"})
	s := k.source(t, c, ingress.PodOptions{})
	if r := read(t, c, s); r.Lacking != "" {
		t.Errorf("pods that serve nothing lack: %s", r.Lacking)
	}
	two.serve(blue, 1000, 0, 0)
	k.add(two, "9100/metrics", "traefik", "two", app("traefik"))
	one.serve(blue, 1, 0, 0)
	c.move(10 * time.Second)
	if r := read(t, c, s); r.Slots[blue].Requests != 1 {
		t.Errorf("with a new one: %+v", r.Slots)
	}
	two.serve(blue, 5, 0, 0)
	if r := read(t, c, s); r.Slots[blue].Requests != 6 {
		t.Errorf("the new one counts: %+v", r.Slots)
	}
	k.mu.Lock()
	k.pods, k.pages = k.pods[3:], map[string]*controller{"traefik/two:9100/metrics": two}
	k.mu.Unlock()
	two.serve(blue, 1, 0, 0)
	if r := read(t, c, s); r.Slots[blue].Requests != 7 || !strings.Contains(r.Lacking, "traefik/one") {
		t.Errorf("one does not answer: %+v", r)
	}
	if r := read(t, c, s); r.Slots[blue].Requests != 7 || r.Lacking != "" {
		t.Errorf("it is gone: %+v", r)
	}
	// Who comes back under a name that was forgotten is new.
	one.serve(blue, 50, 0, 0)
	k.add(one, "9100/metrics", "traefik", "one", app("traefik"))
	c.move(10 * time.Second)
	if r := read(t, c, s); r.Slots[blue].Requests != 7 {
		t.Errorf("it is back: %+v", r.Slots)
	}
}

func TestPodsNotFound(t *testing.T) {
	status := func(code int, reason metav1.StatusReason) http.HandlerFunc {
		text, _ := json.Marshal(metav1.Status{TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: "Failure", Code: int32(code), Reason: reason, Message: "so it is"})
		return proxy.Answer(code, string(text), "Content-Type", "application/json")
	}
	unless := func(path string, otherwise http.HandlerFunc) func(int, *http.Request) http.HandlerFunc {
		return func(_ int, r *http.Request) http.HandlerFunc {
			if path != "" && strings.HasSuffix(r.URL.Path, path) {
				return nil
			}
			return otherwise
		}
	}
	bare := corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "traefik", Name: "traefik", Labels: app("traefik")}}
	for name, test := range map[string]struct {
		fault      func(int, *http.Request) http.HandlerFunc
		kind       fault.Kind
		says, cure string
	}{
		"no Services": {unless("/pods", status(403, metav1.StatusReasonForbidden)), fault.Unreachable, "listing services is forbidden", "grant list on pods and services"},
		"none":        {nil, fault.Unreachable, "no pod with labels", "name the URL"},
		"forbidden":   {unless("", status(403, metav1.StatusReasonForbidden)), fault.Unreachable, "listing pods is forbidden", "grant list on pods"},
		"wrong label": {unless("", status(400, metav1.StatusReasonBadRequest)), fault.Usage, "selects no pods", "as kubectl -l takes them"},
		"broken":      {unless("", status(500, metav1.StatusReasonInternalError)), fault.Unreachable, "so it is", "check the connection"},
		"gone":        {unless("", proxy.Reset), fault.Unreachable, "does not answer within 3s", "check the connection"},
	} {
		t.Run(name, func(t *testing.T) {
			c, k := newClock(), newCluster(t)
			// It has no pods, and the API server does not lead to what else is behind it.
			k.services = append(k.services, bare)
			k.Fault(test.fault)
			_, err := k.source(t, c, ingress.PodOptions{}).Read(t.Context())
			if !fault.Is(err, test.kind) || errors.Is(err, metric.ErrDown) != (test.kind == fault.Unreachable) ||
				!strings.Contains(err.Error(), test.says) || !strings.Contains(fault.HintOf(err), test.cure) {
				t.Errorf("it says %v (%s)", err, fault.HintOf(err))
			}
		})
	}
}

func TestProxyForbidden(t *testing.T) {
	c, k := newClock(), newCluster(t)
	k.add(nil, "", "ingress", "one", app("traefik"))
	text, _ := json.Marshal(metav1.Status{Status: "Failure", Code: 403, Reason: metav1.StatusReasonForbidden})
	k.Fault(func(n int, _ *http.Request) http.HandlerFunc {
		if n == 1 {
			return nil
		}
		return proxy.Answer(403, string(text), "Content-Type", "application/json")
	})
	_, err := k.source(t, c, ingress.PodOptions{}).Read(t.Context())
	if !errors.Is(err, metric.ErrDown) || !strings.Contains(err.Error(), "grant get on pods/proxy in namespace ingress") {
		t.Errorf("it says %v", err)
	}
}
