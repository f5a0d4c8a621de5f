package cli

import (
	"context"
	"fmt"
	"io"
	"maps"
	"runtime"
	"slices"
	"sync"

	"github.com/spf13/cobra"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/app"
	"github.com/sluice-dev/sluice/internal/config"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/plan"
	"github.com/sluice-dev/sluice/internal/seal"
)

// buildsDocument is the result of `sluice build` of several services, or of what is planned.
type buildsDocument struct {
	document
	Results []*buildDocument `json:"results"`
}

// buildDocument is how the build of one service ended.
type buildDocument struct {
	Service string     `json:"service"`
	Stage   plan.Stage `json:"stage"`
	// Why says what makes the stage, where it is planned.
	Why string `json:"why,omitempty"`
	// Release that was made; left out where the stage makes none.
	Release *releaseDocument `json:"release,omitempty"`
	// Tried is what was tested and made without being pushed.
	Tried *triedDocument `json:"tried,omitempty"`
	Error *failure       `json:"error,omitempty"`

	// version that is planned; "" for the one that Git says.
	version string
	err     error
}

// triedDocument is what a release would have been made of.
type triedDocument struct {
	Version string `json:"version,omitempty"`
	// Images by name, by digest.
	Images    map[string]string         `json:"images,omitempty"`
	Unchanged map[string]string         `json:"unchanged,omitempty"`
	Tests     map[string]v1alpha1.Tests `json:"tests,omitempty"`
	Scans     map[string]seal.Scanned   `json:"scans,omitempty"`
}

type buildsFlags struct {
	registry, version string
	rebuild, planned  bool
	plan              planFlags
}

// checkBuilds refuses flags that do not go together.
func (inv *invocation) checkBuilds(cmd *cobra.Command, services []string, f buildsFlags) error {
	for _, name := range []string{"base", "ref", "event"} {
		// A variable may be set for the other commands of the same job.
		_, variable := inv.LookupEnv(environmentName(name))
		if cmd.Flags().Changed(name) && !variable && !f.planned {
			return fault.New(fault.Usage, "", "--%s says what to plan for, and nothing is planned", name).WithHint("add --planned, or leave it out")
		}
	}
	if f.version != "" && f.single(services) == "" {
		return fault.New(fault.Usage, "", "--version is that of one service").
			WithHint("name the service, and leave --planned out; without --version each service has its own, from Git")
	}
	return nil
}

// single is the service, where only one is meant.
func (f *buildsFlags) single(services []string) string {
	if len(services) != 1 || f.planned {
		return ""
	}
	return services[0]
}

// buildSeveral builds services side by side. What fails does not stop the others; an interrupt does.
func (inv *invocation) buildSeveral(ctx context.Context, b Backend, p progress, file *config.File, services []string, flags buildsFlags) error {
	jobs, err := inv.jobs(ctx, b, p, file, services, flags)
	if err != nil {
		return err
	}
	places := make(chan struct{}, max(runtime.GOMAXPROCS(0), int(inv.building.parallel)))
	var wg sync.WaitGroup
	for _, job := range jobs {
		if job.Stage == plan.None {
			continue
		}
		wg.Go(func() {
			select {
			case places <- struct{}{}:
				defer func() { <-places }()
			case <-ctx.Done():
				job.fail(fault.Wrap(fault.Interrupted, "build "+job.Service, ctx.Err()), nil)
				return
			}
			job.do(ctx, b, app.BuildRequest{
				File: file, Service: job.Service, Version: job.version, Log: func(line string) { p.Note(job.Service + ": " + line) },
			})
		})
	}
	wg.Wait()
	p.Stop()
	doc := &buildsDocument{document: head("BuildResult"), Results: jobs}
	if err := inv.emit(doc, doc.text); err != nil {
		return err
	}
	return doc.failure()
}

// jobs are the services with what is done for them.
func (inv *invocation) jobs(ctx context.Context, b Backend, p progress, file *config.File, services []string, flags buildsFlags) ([]*buildDocument, error) {
	jobs := []*buildDocument{}
	if !flags.planned {
		for _, service := range services {
			jobs = append(jobs, &buildDocument{Service: service, Stage: plan.Release})
		}
		return jobs, nil
	}
	made, err := b.Plan(ctx, flags.plan.request(file, services))
	if err != nil {
		return nil, err
	}
	p.Note(describePlan(file, made).subject())
	for _, s := range made.Services {
		jobs = append(jobs, &buildDocument{Service: s.Name, Stage: s.Stage, Why: s.Why, version: s.Version})
	}
	return jobs, nil
}

// do builds the service as far as its stage says.
func (d *buildDocument) do(ctx context.Context, b Backend, req app.BuildRequest) {
	if d.Stage == plan.Test || d.Stage == plan.Verify {
		tried, err := b.Try(ctx, req, d.Stage == plan.Verify)
		if err != nil {
			d.fail(err, tried.Scans)
			return
		}
		d.Tried = &triedDocument{Version: tried.Version, Images: tried.Images, Unchanged: tried.Unchanged, Tests: tried.Tests, Scans: tried.Scans}
		return
	}
	built, err := b.Build(ctx, req)
	if err != nil {
		d.fail(err, built.Seal.Scans)
		return
	}
	d.Release = describeRelease(built)
}

func (d *buildDocument) fail(err error, scans map[string]seal.Scanned) {
	d.err = err
	why := failureOf(err, scans)
	d.Error = &why
}

// failure is what the command ends with: each cause, under the kind of the first.
func (d *buildsDocument) failure() error {
	var failed []error
	for _, r := range d.Results {
		if r.err != nil {
			failed = append(failed, r.err)
		}
	}
	if len(failed) == 0 {
		return nil
	}
	text := fmt.Sprintf("%d of %s failed", len(failed), amount(len(d.Results), "service"))
	for _, r := range d.Results {
		if r.err != nil {
			text += fmt.Sprintf("\n%s: %s", r.Service, indentRest(r.Error.Message))
			if r.Error.Hint != "" {
				text += "\nhint: " + r.Error.Hint
			}
		}
	}
	return &reportedError{fault.New(fault.KindOf(failed[0]), "", "%s", text)}
}

func (d *buildsDocument) text(w io.Writer) {
	idle := map[string]int{}
	for _, r := range d.Results {
		switch {
		case r.Release != nil:
			r.Release.summary(w)
		case r.Tried != nil:
			r.Tried.text(w, r.Service, r.Stage)
		case r.err == nil:
			idle[r.Why]++
		}
	}
	for _, why := range slices.Sorted(maps.Keys(idle)) {
		fmt.Fprintf(w, "nothing is done for %s: %s\n", amount(idle[why], "service"), why)
	}
}

func (d *triedDocument) text(w io.Writer, service string, stage plan.Stage) {
	for _, name := range slices.Sorted(maps.Keys(d.Images)) {
		fmt.Fprintf(w, "image    %s  %s\n", name, found(d.Images[name], d.Unchanged[name]))
	}
	testsSummary(w, d.Tests)
	scansSummary(w, d.Scans)
	if stage == plan.Test {
		fmt.Fprintf(w, "tested   %s  nothing was pushed\n", service)
		return
	}
	fmt.Fprintf(w, "verified %s %s  nothing was pushed\n", service, d.Version)
}
