package ingress

import (
	"encoding/json"
	"strconv"
	"strings"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/metric"
)

// names says whose requests a controller counts under which names.
//
//   - Traefik, nginx annotations: NAMESPACE-INGRESS-SERVICE-PORT@kubernetesingressnginx. With -canary before the @ it is the canary of that
//     Service: INGRESS and SERVICE are the main one's, and the other slot answered.
//   - Traefik, Gateway API: httproute-NAMESPACE-ROUTE-gw-…-svc-NAMESPACE-SERVICE-INDEX@kubernetesgateway; before Traefik 3.6
//     NAMESPACE-SERVICE-PORT@kubernetesgateway.
//   - ingress-nginx: the labels namespace, ingress and service are those of the main Ingress also where the canary answered; then the
//     label canary is NAMESPACE-SERVICE-PORT of the canary's Service, and else it is empty.
//   - Envoy: clusters are named by whoever configures it. Contour's are NAMESPACE_SERVICE_PORT. Envoy Gateway's are
//     httproute/NAMESPACE/ROUTE/rule/N, one for all backends of a rule, which tells no slots apart.
type names struct {
	namespace string
	// exact are whole names of Traefik's services, of backends of ingress-nginx and of Envoy's clusters.
	exact map[string]v1alpha1.Slot
	// ends are ends of Traefik's names for the Gateway API, up to the index.
	ends map[string]v1alpha1.Slot
	// services are the slots' Services.
	services map[string]v1alpha1.Slot
	// ingresses and routes are the names of the main Ingresses and of the HTTPRoutes.
	ingresses, routes map[string]bool
}

func newNames(s metric.Subject, more map[v1alpha1.Slot][]string) names {
	n := names{
		namespace: s.Namespace, exact: map[string]v1alpha1.Slot{}, ends: map[string]v1alpha1.Slot{},
		services: map[string]v1alpha1.Slot{}, ingresses: map[string]bool{}, routes: map[string]bool{},
	}
	ports := map[string]bool{}
	for _, routes := range s.Routes {
		for _, o := range routes.Objects {
			switch o.Kind {
			case "Ingress":
				n.ingresses[o.Name] = true
			case "HTTPRoute":
				n.routes[o.Name] = true
			}
			collectPorts(o.Manifest, ports)
		}
		for _, service := range routes.Services {
			collectPorts(service.Manifest, ports)
		}
	}
	slots := s.Slots()
	for i, slot := range slots {
		other := v1alpha1.SlotNone
		if len(slots) == 2 {
			other = slots[1-i]
		}
		for _, service := range s.Routes[slot].Services {
			n.add(slot, other, service.SlotService, ports)
		}
		for _, name := range more[slot] {
			n.exact[name] = slot
		}
	}
	return n
}

func (n names) add(slot, other v1alpha1.Slot, service string, ports map[string]bool) {
	n.services[service] = slot
	n.ends[normal("-svc-"+n.namespace+"-"+service+"-")] = slot
	for port := range ports {
		backend := n.namespace + "-" + service + "-" + port
		n.exact[backend] = slot
		n.exact[normal(backend)+"@kubernetesgateway"] = slot
		n.exact[n.namespace+"_"+service+"_"+port] = slot
		for ingress := range n.ingresses {
			name := normal(n.namespace + "-" + ingress + "-" + service + "-" + port)
			n.exact[name+"@kubernetesingressnginx"] = slot
			if other != v1alpha1.SlotNone {
				n.exact[name+"-canary@kubernetesingressnginx"] = other
			}
		}
	}
}

// normal is a name as Traefik writes it: what is neither a letter nor a digit becomes a hyphen.
func normal(name string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, name)
}

// collectPorts finds the ports of a Service, an Ingress or an HTTPRoute, by number and by name. What they are used for does not matter:
// a port that is too many is a name that nobody uses.
func collectPorts(manifest json.RawMessage, ports map[string]bool) {
	var document any
	if json.Unmarshal(manifest, &document) == nil {
		walkPorts(document, ports)
	}
}

func walkPorts(node any, ports map[string]bool) {
	switch node := node.(type) {
	case []any:
		for _, inner := range node {
			walkPorts(inner, ports)
		}
	case map[string]any:
		for key, inner := range node {
			number, isNumber := inner.(float64)
			text, isText := inner.(string)
			switch {
			case isNumber && (key == "port" || key == "number"):
				ports[strconv.Itoa(int(number))] = true
			case isText && key == "name" && node["port"] != nil || isText && key == "name" && len(node) == 1:
				ports[text] = true
			}
			walkPorts(inner, ports)
		}
	}
}

// slotOf says whose requests are counted under labels. They are the subject's without being one slot's where the controller does not
// count by backend.
func (n names) slotOf(f *format, identity []string) (slot v1alpha1.Slot, ours bool) {
	if len(identity) == 4 {
		return n.nginx(identity[0], identity[1], identity[2], identity[3])
	}
	name := identity[0]
	if slot, ours = n.exact[name]; ours {
		return slot, true
	}
	if rest, found := strings.CutSuffix(name, "@kubernetesgateway"); found {
		return n.gateway(rest)
	}
	if f.age != "" { // Envoy
		kind, rest, _ := strings.Cut(name, "/")
		namespace, rest, _ := strings.Cut(rest, "/")
		route, rule, _ := strings.Cut(rest, "/")
		return v1alpha1.SlotNone, kind == "httproute" && namespace == n.namespace && n.routes[route] && strings.HasPrefix(rule, "rule/")
	}
	return v1alpha1.SlotNone, false
}

func (n names) nginx(namespace, ingress, service, canary string) (v1alpha1.Slot, bool) {
	if namespace != n.namespace || !n.ingresses[ingress] && !n.ingresses[strings.TrimSuffix(ingress, "-canary")] {
		return v1alpha1.SlotNone, false
	}
	if canary != "" && canary != "-" {
		slot, ours := n.exact[canary]
		return slot, ours
	}
	slot, ours := n.services[service]
	return slot, ours
}

func (n names) gateway(name string) (v1alpha1.Slot, bool) {
	for route := range n.routes {
		if !strings.HasPrefix(name, normal("httproute-"+n.namespace+"-"+route+"-gw-")) {
			continue
		}
		end := strings.LastIndexByte(name, '-') + 1
		for suffix, slot := range n.ends {
			if strings.HasSuffix(name[:end], suffix) && end < len(name) && strings.Trim(name[end:], "0123456789") == "" {
				return slot, true
			}
		}
	}
	return v1alpha1.SlotNone, false
}
