package http

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/gate"
)

// call is where a question goes.
type call struct {
	url       string
	header    v1alpha1.Header
	transport http.RoundTripper
	// proxied says that the API server stands between, whose own refusals are not the service's.
	proxied bool
}

// call finds the way to the slot: the gate's URL, the environment's entry with the header, or the API server's service
// proxy where the router knows no headers and the slot has not all the traffic.
func (g *Gate) call(s gate.Subject) (call, error) {
	op := "gate " + g.name
	if g.spec.URL != "" {
		return g.elsewhere(op, s)
	}
	headless := s.Router == v1alpha1.RouterService || s.Router == v1alpha1.RouterNone
	if headless && (s.Header != v1alpha1.Header{} || s.Entry == "") {
		service, err := only(op, s)
		if err != nil {
			return call{}, err
		}
		return g.through(op, s, service, "", g.spec.Path)
	}
	if s.Entry == "" {
		return call{}, fault.New(fault.Usage, op, "environment %s has no entry to which the path %s could be joined", s.Environment, g.spec.Path).
			WithHint("add `entry: http://…` to the environment in sluice.yaml, or give the gate a `url:`")
	}
	return call{
		url:    strings.TrimRight(s.Entry, "/") + "/" + strings.TrimLeft(g.spec.Path, "/"),
		header: s.Header, transport: g.prober.o.Transport,
	}, nil
}

// elsewhere follows the gate's own URL; a host that callers inside the cluster use means the slot's Service of that name.
func (g *Gate) elsewhere(op string, s gate.Subject) (call, error) {
	u, err := url.Parse(g.spec.URL)
	if err != nil {
		return call{}, fault.Wrap(fault.Usage, op, err)
	}
	name := u.Hostname()
	for _, suffix := range []string{".cluster.local", ".svc", "." + s.Namespace} {
		name = strings.TrimSuffix(name, suffix)
	}
	for _, service := range s.Services {
		if service.Name == name {
			return g.through(op, s, service, u.Port(), u.RequestURI())
		}
	}
	return call{url: g.spec.URL, header: s.Header, transport: g.prober.o.Transport}, nil
}

// only is the Service that a path without a host means: the one there is, or the one named as the service.
func only(op string, s gate.Subject) (v1alpha1.StableService, error) {
	if len(s.Services) == 1 {
		return s.Services[0], nil
	}
	names := make([]string, 0, len(s.Services))
	for _, service := range s.Services {
		if service.Name == s.Service {
			return service, nil
		}
		names = append(names, service.Name)
	}
	if len(names) == 0 {
		return v1alpha1.StableService{}, fault.New(fault.Usage, op, "the %s slot of %s has no Service, and the router no header, that would lead to it", s.Slot, s.Service).
			WithHint("give the gate a `url:`")
	}
	return v1alpha1.StableService{}, fault.New(fault.Usage, op, "router %s knows no headers, and the chart has several Services: %s", s.Router, strings.Join(names, ", ")).
		WithHint("say which one the gate means: `url: http://%s/…`", names[0])
}

// through goes to a Service by the API server's service proxy.
func (g *Gate) through(op string, s gate.Subject, service v1alpha1.StableService, port, path string) (call, error) {
	way := g.prober.o.APIServer
	if way == nil {
		return call{}, fault.New(fault.Usage, op, "there is no way to Service %s/%s", s.Namespace, service.SlotService)
	}
	for name := range g.spec.Headers {
		// They would be read by the API server instead of the service.
		if n := http.CanonicalHeaderKey(name); n == "Authorization" || strings.HasPrefix(n, "Impersonate-") {
			return call{}, fault.New(fault.Usage, op, "the header %s cannot be sent through the API server, which takes it for itself", n).
				WithHint("give the gate a `url:` that leads to the service from outside")
		}
	}
	scheme, port, err := portOf(service, port)
	if err != nil {
		return call{}, fault.Wrap(fault.Usage, op, err)
	}
	target := way.Base.JoinPath("api/v1/namespaces", s.Namespace, "services", scheme+service.SlotService+":"+port, "proxy")
	return call{
		url:       strings.TrimRight(target.String(), "/") + "/" + strings.TrimLeft(path, "/"),
		transport: way.Transport, proxied: true,
	}, nil
}

// portOf chooses the wanted port, else the one named http, else 80, else the first; and the prefix that https needs.
func portOf(service v1alpha1.StableService, wanted string) (scheme, port string, err error) {
	var manifest struct {
		Spec struct {
			Ports []struct {
				Name string `json:"name"`
				Port int    `json:"port"`
			} `json:"ports"`
		} `json:"spec"`
	}
	if err := json.Unmarshal(service.Manifest, &manifest); err != nil {
		return "", "", fault.Wrap(fault.Usage, "read the ports of Service "+service.Name, err)
	}
	ports := manifest.Spec.Ports
	if len(ports) == 0 {
		return "", "", fault.New(fault.Usage, "read the ports of Service "+service.Name, "it has none")
	}
	best, rank := ports[0], 1
	for _, p := range ports {
		r := 0
		switch number := strconv.Itoa(p.Port); {
		case wanted == number:
			r = 4
		case p.Name == "http":
			r = 3
		case p.Port == 80:
			r = 2
		}
		if r > rank {
			best, rank = p, r
		}
	}
	if wanted != "" && rank < 4 {
		return "", "", fault.New(fault.Usage, "find port "+wanted+" of Service "+service.Name, "it has none of that number")
	}
	if best.Name == "https" || best.Port == 443 {
		scheme = "https:"
	}
	return scheme, strconv.Itoa(best.Port), nil
}
