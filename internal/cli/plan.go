package cli

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sluice-dev/sluice/internal/config"
	"github.com/sluice-dev/sluice/internal/plan"
)

// planDocument is the result of `sluice plan`.
type planDocument struct {
	document
	File  string     `json:"file"`
	Event plan.Event `json:"event"`
	// Ref is the full name of the branch or tag, where somebody says one.
	Ref string `json:"ref,omitempty"`
	// Base is the commit that the sources were compared with, Head the one that is checked out.
	Base string `json:"base,omitempty"`
	Head string `json:"head"`
	// Changed counts the paths that differ from the base, Uncommitted those of them that differ from the head.
	Changed     int `json:"changed"`
	Uncommitted int `json:"uncommitted"`
	// Build names the services for which something is done: what a matrix of jobs is made of.
	Build     []string          `json:"build"`
	Services  []plannedDocument `json:"services"`
	Unclaimed []string          `json:"unclaimed"`
}

type plannedDocument struct {
	Service string           `json:"service"`
	Touched bool             `json:"touched"`
	Stage   plan.Stage       `json:"stage"`
	Why     string           `json:"why"`
	Steps   []plan.Step      `json:"steps"`
	Version string           `json:"version,omitempty"`
	Reasons []reasonDocument `json:"reasons"`
	// Paths counts all that touch the service; the reasons are the first few.
	Paths int `json:"paths"`
}

type reasonDocument struct {
	Path string `json:"path"`
	Rule string `json:"rule"`
}

// event is a flag that only takes what a plan knows.
type event plan.Event

// String is the flag's value; empty where none was given.
func (e *event) String() string { return string(*e) }

// Set refuses unknown events.
func (e *event) Set(s string) error {
	if !slices.Contains(events(), s) {
		return fmt.Errorf("must be one of %s", joined(events()))
	}
	*e = event(s)
	return nil
}

// Type names the value in the help.
func (e *event) Type() string { return "event" }

func events() []string { return []string{string(plan.Push), string(plan.PullRequest)} }

func newPlan(inv *invocation) *cobra.Command {
	var flags planFlags
	cmd := &cobra.Command{
		Use: "plan [SERVICE...]", Short: "Tell what a change touches, and what is done about it", GroupID: groupAuthor,
		Long: describe(`Tell from Git which services a change touches, and what is done for each of them, with reasons. Nothing is built.

Branches and tags say by their names what is done: feature/<service>/… and topic/… build and test, a pull request makes and
scans the image too, main makes a pre-release, release/<service>/<version> or the tag <service>/v<version> the release.
GitHub Actions and Azure Pipelines are asked for the branch and the pull request; elsewhere --ref and --event say them.
What a shallow clone lacks is fetched.`, 0, 1, 2, 3, 8, 130),
		Example: `  sluice plan
  sluice plan --event pullRequest --base origin/main
  sluice plan delivery --ref release/delivery/1.0.2 -o json`,
		ValidArgsFunction: inv.completeServices,
		RunE: inv.enter(func(cmd *cobra.Command, args []string) error {
			file, err := inv.project()
			if err != nil {
				return err
			}
			services, err := servicesOf(file, args)
			if err != nil {
				return err
			}
			p := inv.progress()
			defer p.Stop()
			b := inv.backend(file.Dir, file.Project.Registry, p)
			defer inv.close(b)
			made, err := b.Plan(cmd.Context(), flags.request(file, services))
			p.Stop()
			if err != nil {
				return err
			}
			doc := describePlan(file, made)
			return inv.emit(doc, doc.text)
		}),
	}
	flags.register(cmd)
	return cmd
}

// planFlags say what to plan for, where Git and the CI system do not.
type planFlags struct {
	base, ref string
	event     event
}

func (f *planFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.base, "base", "", "`commit`, tag or branch to compare with (default: the pull request's target, the trunk's commit before, else where the branch left the trunk)")
	cmd.Flags().StringVar(&f.ref, "ref", "", "`branch`, or full name of a branch or tag, to plan for (default: what is checked out, as Git or the CI system says)")
	cmd.Flags().Var(&f.event, "event", "`event` to plan for: push or pullRequest (default: what the CI system says, else push)")
	_ = cmd.RegisterFlagCompletionFunc("event", cobra.FixedCompletions(events(), cobra.ShellCompDirectiveNoFileComp))
}

func (f *planFlags) request(file *config.File, services []string) plan.Request {
	return plan.Request{File: file, Services: services, Base: f.base, Ref: f.ref, Event: plan.Event(f.event)}
}

func describePlan(file *config.File, p plan.Plan) *planDocument {
	doc := &planDocument{
		document: head("Plan"), File: file.Path, Event: p.Event, Ref: p.Ref, Base: p.Base, Head: p.Head,
		Changed: p.Changed, Uncommitted: p.Uncommitted, Build: []string{}, Services: []plannedDocument{}, Unclaimed: append([]string{}, p.Unclaimed...),
	}
	for _, s := range p.Services {
		d := plannedDocument{
			Service: s.Name, Touched: s.Touched, Stage: s.Stage, Why: s.Why, Steps: append([]plan.Step{}, s.Stage.Steps(file.Project, s.Name)...),
			Version: s.Version, Reasons: []reasonDocument{}, Paths: s.Paths,
		}
		for _, r := range s.Reasons {
			d.Reasons = append(d.Reasons, reasonDocument(r))
		}
		if s.Stage != plan.None {
			doc.Build = append(doc.Build, s.Name)
		}
		doc.Services = append(doc.Services, d)
	}
	return doc
}

func (d *planDocument) text(w io.Writer) {
	fmt.Fprintln(w, d.subject())
	idle := map[string]int{}
	for _, s := range d.Services {
		if s.Stage == plan.None && !s.Touched {
			idle[s.Why]++
			continue
		}
		s.text(w)
	}
	for _, why := range slices.Sorted(maps.Keys(idle)) {
		fmt.Fprintf(w, "nothing is done for %s: %s\n", amount(idle[why], "service"), why)
	}
	if len(d.Unclaimed) > 0 {
		fmt.Fprintf(w, "of no service: %s\n", firstOf(d.Unclaimed, 5))
	}
}

// subject says what the plan is about: "push of branch main: 3 paths changed since 0123456789, 1 of them not committed".
func (d *planDocument) subject() string {
	what := "push"
	if d.Event == plan.PullRequest {
		what = "pull request"
	}
	if d.Ref != "" {
		what += " of " + strings.TrimPrefix(strings.TrimPrefix(d.Ref, "refs/heads/"), "refs/")
	}
	switch {
	case d.Base != "":
		what += fmt.Sprintf(": %s changed since %.10s", amount(d.Changed, "path"), d.Base)
	case d.Changed > 0:
		what += fmt.Sprintf(": all %s are new", amount(d.Changed, "path"))
	}
	if d.Uncommitted > 0 {
		what += fmt.Sprintf(", %d not committed", d.Uncommitted)
	}
	return what
}

func (s plannedDocument) text(w io.Writer) {
	steps := make([]string, len(s.Steps))
	for i, step := range s.Steps {
		steps[i] = string(step)
	}
	line := s.Service + "  " + string(s.Stage)
	if s.Version != "" {
		line += " " + s.Version
	}
	if len(steps) > 0 {
		line += ": " + joined(steps)
	}
	fmt.Fprintf(w, "%s  (%s)\n", line, s.Why)
	for _, r := range s.Reasons {
		fmt.Fprintf(w, "  %s  (%s)\n", r.Path, r.Rule)
	}
	if more := s.Paths - len(s.Reasons); more > 0 {
		fmt.Fprintf(w, "  and %s more\n", amount(more, "path"))
	}
}

// amount is a number with its noun: "1 path", "2 paths".
func amount(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// firstOf names the first few.
func firstOf(names []string, most int) string {
	if len(names) <= most {
		return joined(names)
	}
	return fmt.Sprintf("%s and %d more", joined(names[:most]), len(names)-most)
}
