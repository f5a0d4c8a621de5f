package app

import (
	"cmp"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/fault"
	httpgate "github.com/sluice-dev/sluice/internal/gate/http"
	"github.com/sluice-dev/sluice/internal/guard"
	"github.com/sluice-dev/sluice/internal/metric"
	"github.com/sluice-dev/sluice/internal/metric/azuremonitor"
	"github.com/sluice-dev/sluice/internal/metric/ingress"
	"github.com/sluice-dev/sluice/internal/metric/probe"
	"github.com/sluice-dev/sluice/internal/metric/prometheus"
	"github.com/sluice-dev/sluice/internal/variables"
)

const (
	// gap is the time between two readings from which on what was counted between them is left out. A source that is away for less than
	// that loses nothing.
	gap = 30 * time.Second
	// logsEvery and logsGap are those of Azure Monitor, whose readings are minutes late and move in jumps. An identity may ask 200 times
	// in 30 seconds.
	logsEvery = 15 * time.Second
	// logsLag is how long nothing is known of a workspace that has no data: logs take as long as that to arrive at most.
	logsLag = 15 * time.Minute
	logsGap = 30 * time.Minute
	// numberEvery is how often a number with a condition is asked for.
	numberEvery = 10 * time.Second
)

// read are what metrics are read by, for all places of an App: sources that share a controller ask it once a second, however many they are.
type read struct {
	ingresses shared[*ingress.Ingress]
	servers   shared[*prometheus.Server]
	spaces    shared[*azuremonitor.Workspace]
}

// meters reads what analyses of an environment ask for.
type meters struct {
	*App
	c           *cluster
	environment string
	// entry leads to the environment's entry, as that of the gates of http does.
	entry http.RoundTripper
}

var _ guard.Sources = (*meters)(nil)

// meters makes the sources of metrics of an environment, in its cluster and outside of it.
func (a *App) meters(c *cluster, environment string) guard.Sources {
	return &meters{App: a, c: c, environment: environment, entry: httpgate.NewTransport()}
}

// Requests implements guard.Sources.
func (m *meters) Requests(subject metric.Subject, spec v1alpha1.Analysis) (guard.Feed, error) {
	source := v1alpha1.RequestSource{}
	if spec.Source != nil {
		source = *spec.Source
	}
	switch {
	case source.Prometheus != nil:
		if err := m.answers(spec, *source.Prometheus); err != nil {
			return guard.Feed{}, err
		}
		return m.counters(subject, spec, *source.Prometheus)
	case source.AzureMonitor != nil:
		workspace, err := m.workspace(spec)
		if err != nil {
			return guard.Feed{}, err
		}
		s, err := workspace.Source(subject, guard.QuestionOf(spec), source.AzureMonitor.Slot)
		if err != nil {
			return guard.Feed{}, err // and no interface around a nil source
		}
		return guard.Feed{Source: s, Every: logsEvery, Lag: logsLag, Gap: logsGap}, nil
	case source.Probe != nil:
		return m.Probe(subject, spec, *source.Probe)
	}
	at := v1alpha1.IngressSource{}
	if source.Ingress != nil {
		at = *source.Ingress
	}
	return m.served(subject, spec, at)
}

// served counts what the ingress controller served.
func (m *meters) served(subject metric.Subject, spec v1alpha1.Analysis, at v1alpha1.IngressSource) (guard.Feed, error) {
	series, err := seriesOf(subject, at)
	if err != nil {
		return guard.Feed{}, m.of(err, "source.ingress.series")
	}
	controller, err := m.ingress(at)
	if err != nil {
		return guard.Feed{}, m.of(err, "source.ingress")
	}
	s, err := controller.Source(subject, guard.QuestionOf(spec), series)
	if err != nil {
		return guard.Feed{}, err
	}
	feed := guard.Feed{Source: s, Every: ingress.Interval, Soonest: ingress.Soonest, Gap: gap}
	if m.far(at) {
		feed.Soonest = 0
		feed.Every = max(feed.Every, m.c.interval)
		feed.Gap = max(feed.Gap, 4*feed.Every, slowReach)
	}
	return feed, nil
}

// far says that a controller is read through a cluster where each look takes long.
func (m *meters) far(at v1alpha1.IngressSource) bool { return len(at.URLs) == 0 && m.c.interval > 0 }

// seriesOf are the names of what is counted for each slot, where they are given.
func seriesOf(subject metric.Subject, at v1alpha1.IngressSource) (ingress.Series, error) {
	if len(at.Series) == 0 {
		return nil, nil
	}
	series := ingress.Series{}
	for _, slot := range subject.Slots() {
		for _, text := range at.Series {
			name, err := metric.Fill("the name of a series", text, subject, slot)
			if err != nil {
				return nil, err
			}
			series[slot] = append(series[slot], name)
		}
	}
	return series, nil
}

// ingress is the controller of a specification. The environment is part of what it is known by, because its credentials read the cluster.
func (m *meters) ingress(at v1alpha1.IngressSource) (*ingress.Ingress, error) {
	at.Series = nil // they are a subject's own
	where := ""
	if len(at.URLs) == 0 {
		where = m.environment + " " + m.c.config.Host + " "
	}
	return m.read.ingresses.of(where, at, func() (*ingress.Ingress, error) {
		finder, err := m.finder(at)
		if err != nil {
			return nil, err
		}
		return ingress.New(ingress.Options{Finder: finder, Now: m.o.Now, AnswerTime: m.patience(at)}), nil
	})
}

// patience is how long one answer may take; 0 for as long as usual.
func (m *meters) patience(at v1alpha1.IngressSource) time.Duration {
	if m.far(at) {
		return slowReach
	}
	return 0
}

func (m *meters) finder(at v1alpha1.IngressSource) (ingress.Finder, error) {
	if len(at.URLs) > 0 {
		return ingress.URLs(nil, at.URLs...)
	}
	return ingress.Pods(ingress.PodOptions{
		Client: m.c.client, Namespace: at.Namespace, Labels: at.Labels, Port: at.Port, Path: at.Path, Now: m.o.Now, AnswerTime: m.patience(at),
	}), nil
}

// Probe implements guard.Sources.
func (m *meters) Probe(subject metric.Subject, spec v1alpha1.Analysis, p v1alpha1.Probe) (guard.Feed, error) {
	s, err := probe.New(subject, guard.QuestionOf(spec), probe.Options{
		Path: p.Path, Rate: p.Rate, Timeout: p.Timeout.D(), Transport: m.entry, Now: m.o.Now,
	})
	if err != nil {
		return guard.Feed{}, err
	}
	every := time.Second
	if p.Rate > 0 && p.Rate < 1 {
		every = time.Duration(float64(time.Second) / p.Rate)
	}
	return guard.Feed{Source: s, Every: every, Gap: max(gap, 4*every)}, nil
}

// Counters implements guard.Sources.
func (m *meters) Counters(subject metric.Subject, spec v1alpha1.Analysis, one v1alpha1.Metric) (guard.Feed, error) {
	if one.Prometheus == nil || one.Prometheus.Requests == "" || one.Prometheus.Failed == "" {
		return guard.Feed{}, m.usage("metrics", "metric %s has no pair of counters", one.Name).
			WithHint("give `prometheus: {requests: …, failed: …}`, or a `condition` for one number")
	}
	feed, err := m.counters(subject, spec, v1alpha1.PrometheusCounters{Requests: one.Prometheus.Requests, Failed: one.Prometheus.Failed})
	return feed, fault.Wrap(fault.KindOf(err), "metric "+one.Name, err)
}

// answers refuses queries that leave a question without an answer: what is not counted would look as if it never happened.
func (m *meters) answers(spec v1alpha1.Analysis, queries v1alpha1.PrometheusCounters) error {
	switch {
	case queries.Failed == "" && spec.AsksErrors():
		return m.usage("source.prometheus", "errors are asked for, and no query counts requests that failed").WithHint("add `failed: …`")
	case queries.Slow == "" && spec.Slower != nil:
		return m.usage("source.prometheus", "slow requests are asked for, and no query counts them").WithHint("add `slow: …`")
	}
	return nil
}

// counters counts what a Prometheus knows. How old its samples are bounds how often asking again tells something new.
func (m *meters) counters(subject metric.Subject, spec v1alpha1.Analysis, queries v1alpha1.PrometheusCounters) (guard.Feed, error) {
	server, err := m.server(spec)
	if err != nil {
		return guard.Feed{}, err
	}
	s, err := server.Source(subject, prometheus.Queries(queries))
	if err != nil {
		return guard.Feed{}, err
	}
	delay := spec.Prometheus.Delay.Or(prometheus.DefaultDelay)
	// Both slots are scraped within one such time: asked more often, one of them alone would seem to have had requests.
	return guard.Feed{Source: s, Every: max(time.Second, delay), Lag: delay, Gap: max(gap, 4*delay)}, nil
}

// Number implements guard.Sources.
func (m *meters) Number(subject metric.Subject, spec v1alpha1.Analysis, one v1alpha1.Metric) (guard.Reader, error) {
	var valuer metric.Valuer
	var err error
	switch {
	case one.Prometheus != nil:
		var server *prometheus.Server
		if server, err = m.server(spec); err == nil {
			valuer, err = server.Query(subject, one.Prometheus.Query)
		}
	case one.AzureMonitor != nil:
		var workspace *azuremonitor.Workspace
		if workspace, err = m.workspace(spec); err == nil {
			valuer, err = workspace.Query(subject, one.AzureMonitor.Query)
		}
	default:
		err = m.usage("metrics", "metric %s asks nobody", one.Name).WithHint("give it `prometheus` or `azureMonitor`")
	}
	if err != nil {
		return guard.Reader{}, fault.Wrap(fault.KindOf(err), "metric "+one.Name, err)
	}
	return guard.Reader{Valuer: valuer, Every: numberEvery}, nil
}

// server is the Prometheus of an analysis.
func (m *meters) server(spec v1alpha1.Analysis) (*prometheus.Server, error) {
	if spec.Prometheus == nil {
		return nil, m.usage("prometheus", "a query is for Prometheus, and no server is named").WithHint("add `prometheus: {url: …}` to the analysis")
	}
	p := *spec.Prometheus
	headers := map[string]variables.Value{}
	if p.Token != nil {
		token, err := m.token(*p.Token)
		if err != nil {
			return nil, err
		}
		headers["Authorization"] = variables.NewValue("Bearer " + token)
	}
	return m.read.servers.of("", p, func() (*prometheus.Server, error) {
		server, err := prometheus.New(prometheus.Options{URL: p.URL, Headers: headers, Now: m.o.Now, Delay: p.Delay.D()})
		return server, m.of(err, "prometheus")
	})
}

// token reads a token where the run has it, and takes it out of all that is printed and recorded.
func (m *meters) token(from v1alpha1.MetricToken) (string, error) {
	text, _ := m.lookup(from.Env)
	token := strings.TrimSpace(text)
	if token == "" {
		return "", m.usage("prometheus.token", "environment variable %s is not set, or empty", from.Env).
			WithHint("export %s=…, or have the pipeline pass its secret on as that variable", cmp.Or(from.Env, "NAME"))
	}
	m.o.Secrets.Keep("the token in "+from.Env, token, m.o.Log)
	return token, nil
}

// workspace is the Log Analytics workspace of an analysis, read as whoever this run is in Azure.
func (m *meters) workspace(spec v1alpha1.Analysis) (*azuremonitor.Workspace, error) {
	if spec.AzureMonitor == nil {
		return nil, m.usage("azureMonitor", "a query is for Azure Monitor, and no workspace is named").
			WithHint("add `azureMonitor: {workspace: …}` to the analysis")
	}
	w := *spec.AzureMonitor
	return m.read.spaces.of("", w, func() (*azuremonitor.Workspace, error) {
		workspace, err := azuremonitor.New(azuremonitor.Options{
			Workspace: w.Workspace, Endpoint: w.Endpoint, Credential: m.azure, Delay: w.Delay.D(), Now: m.o.Now,
		})
		return workspace, m.of(err, "azureMonitor")
	})
}

// usage is an error in what the environment's analysis asks for.
func (m *meters) usage(key, format string, args ...any) *fault.Error {
	return fault.New(fault.Usage, m.at(key), format, args...)
}

// of says of which key of the configuration an error is.
func (m *meters) of(err error, key string) error {
	return fault.Wrap(fault.KindOf(err), m.at(key), err)
}

func (m *meters) at(key string) string { return "environments." + m.environment + ".analysis." + key }

// shared is what was made of specifications.
type shared[T any] struct {
	mu  sync.Mutex
	all map[string]T
}

// of gives what was made of a specification at a place before, or makes it.
func (k *shared[T]) of(where string, spec any, create func() (T, error)) (T, error) {
	var none T
	text, err := json.Marshal(spec)
	if err != nil {
		return none, fault.Wrap(fault.Internal, "tell specifications of metrics apart", err)
	}
	key := where + string(text)
	k.mu.Lock()
	defer k.mu.Unlock()
	if one, ok := k.all[key]; ok {
		return one, nil
	}
	one, err := create()
	if err != nil {
		return none, err
	}
	if k.all == nil {
		k.all = map[string]T{}
	}
	k.all[key] = one
	return one, nil
}
