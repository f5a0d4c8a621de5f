package app

import (
	"context"
	"errors"
	"slices"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/doctor"
	"github.com/sluice-dev/sluice/internal/guard"
	"github.com/sluice-dev/sluice/internal/metric"
)

// sources reads once what the analysis of an environment counts by: what it cannot be answered, such as a limit that nobody counts at, is
// known before a deployment is taken back for it. Probes are not sent.
func (e *examiner) sources(ctx context.Context, req DiagnoseRequest, env v1alpha1.Environment) []doctor.Source {
	if env.Analysis == nil {
		return nil
	}
	spec := *env.Analysis
	meters := e.meters(&cluster{config: e.config, client: e.client, interval: e.interval}, e.environment)
	var found []doctor.Source
	for _, service := range slices.Sorted(slices.Values(req.Services)) {
		subject := anySubject(service, e.environment, env)
		if spec.Source == nil || spec.Source.Probe == nil {
			found = append(found, e.source(ctx, "requests of "+service, func(ctx context.Context) error {
				feed, err := meters.Requests(subject, spec)
				return once(ctx, feed, err)
			}))
		}
		for _, m := range spec.Metrics {
			found = append(found, e.source(ctx, m.Name+" of "+service, func(ctx context.Context) error {
				if m.Condition == "" {
					feed, err := meters.Counters(subject, spec, m)
					return once(ctx, feed, err)
				}
				reader, err := meters.Number(subject, spec, m)
				if err == nil {
					_, err = reader.Valuer.Value(ctx)
				}
				return err
			}))
		}
	}
	return found
}

// anySubject stands for whatever slots a service has by now: names of what is counted follow from the service's own.
func anySubject(service, environment string, env v1alpha1.Environment) metric.Subject {
	s := metric.Subject{Service: service, Environment: environment, Namespace: env.Namespace, Entry: env.Entry,
		Candidate: v1alpha1.SlotDirect}
	if env.Strategy.Direct == nil {
		s.Live, s.Candidate = v1alpha1.SlotBlue, v1alpha1.SlotGreen
	}
	return routed(s)
}

// routed gives slots that are not there yet routes of the names that they usually have.
func routed(s metric.Subject) metric.Subject {
	s.Routes = map[v1alpha1.Slot]v1alpha1.Routes{}
	for _, slot := range s.Slots() {
		s.Routes[slot] = v1alpha1.Routes{Services: []v1alpha1.StableService{{Name: s.Service, SlotService: slot.HelmRelease(s.Service)}}}
	}
	return s
}

func once(ctx context.Context, feed guard.Feed, err error) error {
	if err == nil {
		_, err = feed.Source.Read(ctx)
	}
	return err
}

// source asks one; that nothing was counted yet is an answer.
func (e *examiner) source(ctx context.Context, name string, ask func(ctx context.Context) error) doctor.Source {
	_, err := bounded(ctx, e.App, name, checkTimeout, func(ctx context.Context) (struct{}, error) { return struct{}{}, ask(ctx) })
	if errors.Is(err, metric.ErrNoData) {
		return doctor.Source{Name: name, Nothing: err.Error()}
	}
	return doctor.Source{Name: name, Err: err}
}
