package ingress

import "time"

// format is how one kind of controller exposes its counters.
type format struct {
	// title is what people call it.
	title string
	// prefix begins the names of all its families.
	prefix string
	// requests is the family of counters by code, and code the label that holds it.
	requests, code string
	// duration is the histogram of how long requests took, in unit. timed says that it has the code too: then all is taken from it when
	// slow requests are counted, so that the parts belong to one whole.
	duration string
	unit     time.Duration
	timed    bool
	// identity are the labels that say whose requests they are.
	identity []string
	// start is the moment when the process began, in seconds since 1970, or age for how many seconds it runs.
	start, age string
	// silence says to people what it may be that nothing is counted for the slots, besides that nobody asks for them.
	silence string
}

// formats are those that are known. The names of families and labels are what the controllers document and, in the case of Traefik,
// what the tests on the cluster find.
func formats() []*format {
	return []*format{{
		title: "Traefik", prefix: "traefik_",
		requests: "traefik_service_requests_total", code: "code",
		duration: "traefik_service_request_duration_seconds", unit: time.Second, timed: true,
		identity: []string{"service"}, start: "process_start_time_seconds",
		silence: "does Traefik count by service (metrics.prometheus.addServicesLabels: true)?",
	}, {
		title: "ingress-nginx", prefix: "nginx_ingress_controller_",
		requests: "nginx_ingress_controller_requests", code: "status",
		duration: "nginx_ingress_controller_request_duration_seconds", unit: time.Second, timed: true,
		identity: []string{"namespace", "ingress", "service", "canary"}, start: "process_start_time_seconds",
		silence: "does ingress-nginx know the host of the Ingress (it counts no others without --metrics-per-host=false)?",
	}, {
		title: "Envoy", prefix: "envoy_",
		requests: "envoy_cluster_upstream_rq", code: "envoy_response_code",
		duration: "envoy_cluster_upstream_rq_time", unit: time.Millisecond,
		identity: []string{"envoy_cluster_name"}, age: "envoy_server_uptime",
		silence: "what does it call the slots' clusters? Name them where they are not NAMESPACE_SERVICE_PORT",
	}}
}
