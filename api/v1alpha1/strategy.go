package v1alpha1

// Strategy says how a release takes over an environment. Exactly one member is set.
type Strategy struct {
	// Direct upgrades the one copy in place.
	Direct *Direct `json:"direct,omitempty"`
	// BlueGreen moves all traffic at once to a second copy whose gates passed.
	BlueGreen *BlueGreen `json:"blueGreen,omitempty"`
	// Canary moves traffic to a second copy in steps.
	Canary *Canary `json:"canary,omitempty"`
}

// Direct upgrades the one copy in place.
type Direct struct {
	// Hold is how long the new version is watched, under the gates and the analysis, before it counts as verified. Default 0; 30s with an
	// analysis, because evidence takes time.
	Hold Duration `json:"hold,omitempty"`
}

// BlueGreen brings the candidate up beside the live slot and moves all traffic at once.
type BlueGreen struct {
	// Traffic chooses the router.
	Traffic Traffic `json:"traffic"`
	// Header leads a request to the candidate before any traffic does. Default canary: always.
	Header Header `json:"header,omitzero"`
	// Hold is how long the candidate keeps all traffic under the gates before it counts as verified. Default 0.
	Hold Duration `json:"hold,omitempty"`
	// KeepOld is how long the old slot stays warm after the switch. Default 0.
	KeepOld Duration `json:"keepOld,omitempty"`
}

// Canary moves traffic in steps.
type Canary struct {
	// Traffic chooses the router.
	Traffic Traffic `json:"traffic"`
	// Header leads a request to the candidate whatever the weights say. Default canary: always.
	Header Header `json:"header,omitzero"`
	// Steps in the order in which they are taken: weights ascend from 0 to 100.
	Steps []Step `json:"steps"`
	// KeepOld is how long the old slot stays warm after the last step. Default 0.
	KeepOld Duration `json:"keepOld,omitempty"`
}

// Step is one traffic weight of the candidate, how long it is held, and the gates asked there besides the environment's.
type Step struct {
	// Weight of the candidate in percent, 0 to 100.
	Weight int `json:"weight"`
	// Hold is how long the weight is kept at least, under the gates. Default 0.
	Hold Duration `json:"hold,omitempty"`
	// Gates asked at this step besides the environment's.
	Gates []Gate `json:"gates,omitempty"`
}

// Traffic chooses the router. Exactly one member is set.
type Traffic struct {
	// Gateway routes by Gateway API HTTPRoutes.
	Gateway *GatewayTraffic `json:"gateway,omitempty"`
	// Nginx routes by Ingresses with ingress-nginx's canary annotations.
	Nginx *NginxTraffic `json:"nginx,omitempty"`
	// Service routes by the selector of the Service: weights 0 and 100 only.
	Service *ServiceTraffic `json:"service,omitempty"`
	// None is for workers that serve no requests: weights 0 and 100 only.
	None *NoTraffic `json:"none,omitempty"`
	// Convergence is how long a written route is given to reach the proxies where that cannot be observed. Default 5s.
	Convergence Duration `json:"convergence,omitempty"`
}

// GatewayTraffic routes by Gateway API HTTPRoutes.
type GatewayTraffic struct{}

// NginxTraffic routes by Ingress objects with ingress-nginx's canary annotations.
type NginxTraffic struct{}

// ServiceTraffic routes by the selector of the Service: all or nothing.
type ServiceTraffic struct{}

// NoTraffic is for workers that serve no requests.
type NoTraffic struct{}

// Router is the name of a traffic router.
type Router string

// The routers.
const (
	RouterGateway Router = "gateway"
	RouterNginx   Router = "nginx"
	RouterService Router = "service"
	RouterNone    Router = "none"
)

// Router returns the name of the chosen router, RouterNone where none is.
func (t Traffic) Router() Router {
	switch {
	case t.Gateway != nil:
		return RouterGateway
	case t.Nginx != nil:
		return RouterNginx
	case t.Service != nil:
		return RouterService
	default:
		return RouterNone
	}
}

// Header is the request header that leads to the candidate whatever the weights say. Default `canary: always`.
type Header struct {
	// Name of the header.
	Name string `json:"name,omitempty"`
	// Value that the header must have.
	Value string `json:"value,omitempty"`
}

// OrDefault fills in `canary: always`.
func (h Header) OrDefault() Header {
	if h.Name == "" {
		return Header{Name: "canary", Value: "always"}
	}
	return h
}
