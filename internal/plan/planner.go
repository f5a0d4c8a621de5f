package plan

import (
	"context"
	"path"
	"path/filepath"
	"strings"

	"github.com/sluice-dev/sluice/internal/build"
	"github.com/sluice-dev/sluice/internal/config"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/release"
)

// Planner asks source control what a plan depends on.
type Planner struct {
	Sources build.Sources
	History build.History
	// LookupEnv expands an earlier sluice.yaml.
	LookupEnv func(string) (string, bool)
}

// Request asks for a plan.
type Request struct {
	File *config.File
	// Services that are asked for; none means all.
	Services []string
	// Event, Ref and Base replace what source control and the CI system say; "" keeps it. Ref is a branch, or the full name of a branch or tag.
	Event Event
	Ref   string
	Base  string
}

// Plan makes the plan, with versions. What it lacks in a shallow clone is fetched.
//
// It fails with fault.Usage where there is no source control or nothing to compare with, or as Make does; with fault.Refused where a release
// would hold what is not committed; and with fault.Unreachable where the remote that could fill a shallow clone does not answer.
func (p *Planner) Plan(ctx context.Context, req Request) (Plan, error) {
	in, err := p.look(ctx, req)
	if err != nil {
		return Plan{}, err
	}
	plan, err := Make(in)
	if err != nil {
		return Plan{}, err
	}
	var versioned []string
	for _, s := range plan.Services {
		if s.Stage != None && s.Stage != Test {
			versioned = append(versioned, s.Name)
		}
	}
	maker := release.Maker{Sources: p.Sources}
	versions, err := maker.Versions(ctx, req.File.Dir, in.Checkout, versioned)
	if err != nil {
		return Plan{}, err
	}
	for i := range plan.Services {
		plan.Services[i].Version = versions[plan.Services[i].Name]
	}
	return plan, nil
}

// look gathers what the plan depends on.
func (p *Planner) look(ctx context.Context, req Request) (Input, error) {
	dir := req.File.Dir
	checkout, err := p.Sources.Describe(ctx, dir)
	switch {
	case fault.Is(err, fault.NotFound):
		return Input{}, &fault.Error{Op: "plan", Kind: fault.Usage, Err: err, Hint: "a plan compares commits: put the project under Git"}
	case err != nil:
		return Input{}, err
	}
	in := Input{
		Project: req.File.Project, File: path.Join(checkout.Folder, filepath.Base(req.File.Path)), Services: req.Services,
		Event: Push, Checkout: named(checkout, req),
	}
	if in.Checkout.PullRequest {
		in.Event = PullRequest
	}
	if in.Checkout, err = release.WithTags(ctx, p.Sources, dir, in.Checkout); err != nil {
		return in, err
	}
	naming := release.NamingOf(in.Checkout.Ref)
	if in.Event == Push && (naming.Release || naming.Tag) {
		// Its name says what is released, whatever changed.
		return in, nil
	}
	if in.Base, err = p.base(ctx, dir, req.Base, in, naming); err != nil {
		return in, err
	}
	if in.Changes, err = p.History.Changes(ctx, dir, in.Base); err != nil {
		return in, err
	}
	return p.before(ctx, req, in)
}

// named is the checkout under the name and for the event that were asked for.
func named(checkout build.Checkout, req Request) build.Checkout {
	if req.Ref != "" {
		checkout.Ref = req.Ref
		if !strings.HasPrefix(req.Ref, "refs/") {
			checkout.Ref = "refs/heads/" + req.Ref
		}
		// What is before one branch says nothing about another.
		checkout.Before = ""
	}
	if req.Event != "" {
		checkout.PullRequest = req.Event == PullRequest
	}
	return checkout
}

// base is the commit that the sources are compared with: what a pull request would be merged into, what the trunk was before, else where
// the branch left the trunk. "" means that there is nothing before.
func (p *Planner) base(ctx context.Context, dir, asked string, in Input, naming release.Naming) (string, error) {
	switch {
	case asked != "":
		return p.History.Base(ctx, dir, asked)
	case in.Event == PullRequest:
		return p.History.Base(ctx, dir, in.Checkout.Into)
	case naming.Trunk && in.Checkout.Before != "":
		return p.History.Base(ctx, dir, in.Checkout.Before)
	case naming.Trunk:
		parent, err := p.History.Parent(ctx, dir)
		if err != nil || parent == "" {
			return "", err
		}
		return p.History.Base(ctx, dir, parent)
	}
	return p.History.Base(ctx, dir, "")
}

// before reads sluice.yaml as it was, where it changed. A file that was not there, or of another form, tells nothing.
func (p *Planner) before(ctx context.Context, req Request, in Input) (Input, error) {
	changed := false
	for _, c := range distinct(in.Changes, in.Checkout.Uncommitted) {
		changed = changed || c.Path == in.File
	}
	if !changed || in.Base == "" {
		return in, nil
	}
	data, err := p.History.File(ctx, req.File.Dir, in.Base, in.File)
	switch {
	case fault.Is(err, fault.NotFound):
		return in, nil
	case err != nil:
		return in, err
	}
	if before, err := config.Earlier(req.File.Path, data, p.LookupEnv); err == nil {
		in.Before = &before
	}
	return in, nil
}
