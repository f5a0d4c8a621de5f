package v1alpha1

import "encoding/json"

// Routes is how traffic reaches one slot of a service, as that slot's chart rendered it.
type Routes struct {
	// Objects are the Ingresses and HTTPRoutes taken over from the chart.
	Objects []RouteObject `json:"objects,omitempty"`
	// Services are those that routes and callers know by a stable name.
	Services []StableService `json:"services,omitempty"`
}

// RouteObject is an Ingress or HTTPRoute that exists once for both slots.
type RouteObject struct {
	// Kind is Ingress or HTTPRoute.
	Kind string `json:"kind"`
	// Name is the one the chart would give it under the Helm release <service>.
	Name string `json:"name"`
	// Manifest is the object as rendered under that name: every backend is a stable service name.
	Manifest json.RawMessage `json:"manifest"`
}

// StableService is a Service whose name callers know; it exists once and selects the live slot.
type StableService struct {
	// Name that callers inside the cluster and routes use.
	Name string `json:"name"`
	// SlotService is the Service that always selects this slot's pods.
	SlotService string `json:"slotService"`
	// Manifest is the stable Service with this slot's selector.
	Manifest json.RawMessage `json:"manifest"`
}

// SlotService returns the slot's own Service for a stable name, or "" where it has none.
func (r Routes) SlotService(stable string) string {
	for _, s := range r.Services {
		if s.Name == stable {
			return s.SlotService
		}
	}
	return ""
}

// PodFact is something seen of a pod that needs no statistics.
type PodFact struct {
	Pod       string `json:"pod"`
	Container string `json:"container,omitempty"`
	// Reason is Kubernetes' own word: CrashLoopBackOff, ImagePullBackOff, OOMKilled, CreateContainerConfigError, Unschedulable, FailedCreate, NotReady …
	Reason  string `json:"reason"`
	Message string `json:"message,omitempty"`
	// Fatal facts do not heal by waiting.
	Fatal bool `json:"fatal,omitempty"`
	// Log is the end of the container's log.
	Log string `json:"log,omitempty"`
}

func (f PodFact) String() string {
	s := "pod " + f.Pod
	if f.Pod == "" {
		s = "namespace"
	}
	if f.Container != "" {
		s += ", container " + f.Container
	}
	s += ": " + f.Reason
	if f.Message != "" {
		s += ": " + f.Message
	}
	return s
}
