// Package plan tells which services a change touches and what is done for each of them, and why; it must not build anything, and knows source control through its ports only.
package plan

import (
	"slices"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/build"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/release"
)

// Event is what happened.
type Event string

// The events.
const (
	// Push of commits to a branch, or of a tag.
	Push Event = "push"
	// PullRequest asks for commits to be merged.
	PullRequest Event = "pullRequest"
)

// Stage is how far a service is brought.
type Stage string

// The stages.
const (
	// None: nothing is done.
	None Stage = "none"
	// Test builds and unit-tests.
	Test Stage = "test"
	// Verify makes and scans the image too, which goes nowhere.
	Verify Stage = "verify"
	// Prerelease makes a release with the version of a pre-release.
	Prerelease Stage = "prerelease"
	// Release makes the release whose version the branch or tag says.
	Release Stage = "release"
)

// Step is one thing that is done for a service.
type Step string

// The steps, in the order in which they are done.
const (
	StepBuild   Step = "build"
	StepTest    Step = "test"
	StepImage   Step = "image"
	StepScan    Step = "scan"
	StepRelease Step = "release"
)

// Steps are what the stage does for a service of a project: what the project has no tests or no scanner for is no step.
func (s Stage) Steps(project v1alpha1.Project, service string) []Step {
	var steps []Step
	switch s {
	case Test:
		steps = []Step{StepBuild, StepTest}
	case Verify:
		steps = []Step{StepBuild, StepTest, StepImage, StepScan}
	case Prerelease, Release:
		steps = []Step{StepBuild, StepTest, StepImage, StepScan, StepRelease}
	case None:
	}
	tests := false
	for _, image := range project.Services[service].Images {
		tests = tests || image.TestTarget != ""
	}
	return slices.DeleteFunc(steps, func(step Step) bool {
		return step == StepTest && !tests || step == StepScan && project.Scan == nil
	})
}

// Plan is what a change asks for.
type Plan struct {
	Event Event
	// Ref is the full name of the branch or tag; "" where nobody says one.
	Ref string
	// Base is the commit that the sources are compared with; "" where everything counts as changed. Head is the commit that is checked out.
	Base, Head string
	// Uncommitted counts the paths that differ from Head.
	Uncommitted int
	// Changed counts the paths that differ from Base, uncommitted ones included.
	Changed int
	// Services in the order of their names: all of the file, or those that were asked for.
	Services []Service
	// Unclaimed are changed paths that belong to no service of the file.
	Unclaimed []string
}

// Service is what is done for one service.
type Service struct {
	Name string
	// Touched says that something that the service is made of changed, for the Reasons.
	Touched bool
	Stage   Stage
	// Why says what makes the stage.
	Why string
	// Version of what is made; "" where the stage makes nothing that has one.
	Version string
	// Reasons are the first few; Paths counts all changed paths that touch the service.
	Reasons []Reason
	Paths   int
}

// Reason is one thing that touches a service.
type Reason struct {
	// Path that changed, relative to the top of the work tree.
	Path string
	// Rule is the key of sluice.yaml that makes the path part of the service, and what it says.
	Rule string
}

// maxReasons is how many reasons a service has at most: a generated folder gives thousands, which nobody reads.
const maxReasons = 5

// Input is all that a plan depends on.
type Input struct {
	Project v1alpha1.Project
	// File is the path of sluice.yaml relative to the top of the work tree, with slashes.
	File string
	// Before is the project as it was in the base; nil where that cannot be told, which touches every service once the file changed.
	Before *v1alpha1.Project
	Event  Event
	// Base is the commit that Changes are counted from.
	Base     string
	Checkout build.Checkout
	// Changes since the base; the uncommitted ones are those of the Checkout.
	Changes []build.Change
	// Services that are asked for; none means all.
	Services []string
}

// Make makes the plan, without versions. It fails with fault.Usage where the name of a branch or tag, or a path of a service, cannot be meant.
func Make(in Input) (Plan, error) {
	p := Plan{Event: in.Event, Ref: in.Checkout.Ref, Base: in.Base, Head: in.Checkout.Commit, Uncommitted: len(in.Checkout.Uncommitted)}
	names := sorted(in.Project.Services)
	naming := release.NamingOf(in.Checkout.Ref)
	if err := known(naming, in); err != nil {
		return p, err
	}
	rules, err := rulesOf(in.Project, in.File)
	if err != nil {
		return p, err
	}
	touch := touched(in, names, rules)
	p.Changed, p.Unclaimed = touch.changed, touch.unclaimed
	for i, name := range names {
		if !asked(in.Services, name) {
			continue
		}
		s := Service{Name: name, Touched: touch.paths[i] > 0, Reasons: touch.reasons[i], Paths: touch.paths[i]}
		if s.Stage, s.Why, err = stage(in, naming, s); err != nil {
			return p, err
		}
		p.Services = append(p.Services, s)
	}
	return p, nil
}

// known checks that the branch of a release names a service of the file. A tag may be of something else: a nested Go module has tags of the same form.
func known(naming release.Naming, in Input) error {
	_, exists := in.Project.Services[naming.Service]
	if in.Event == PullRequest || !naming.Release || naming.Tag || naming.Service == "" || exists {
		return nil
	}
	return fault.New(fault.Usage, "branch "+naming.Name, "%s has no service %q", in.File, naming.Service).
		WithHint("the branch of a release is called release/<service>/<version>; the services are %s", shortList(sorted(in.Project.Services)))
}

// stage is what the conventions say for a service, and why.
func stage(in Input, naming release.Naming, s Service) (Stage, string, error) {
	if in.Event == PullRequest {
		return ifTouched(s, Verify, "pull request")
	}
	released, err := naming.Releases(s.Name, in.Checkout.Tags)
	name := naming.Kind() + " " + naming.Name
	_, named := in.Project.Services[naming.Service]
	switch {
	case err != nil:
		return None, "", err
	case released:
		return Release, name, nil
	case naming.Release:
		return None, name + " does not release it", nil
	case naming.Tag:
		return None, name + " asks for nothing", nil
	case naming.Trunk:
		return ifTouched(s, Prerelease, name)
	case naming.Name == "":
		return ifTouched(s, Test, "no branch is checked out")
	case named && naming.Service != s.Name && s.Touched:
		return None, name + " is for " + naming.Service + ": the pull request verifies it", nil
	}
	return ifTouched(s, Test, name)
}

func ifTouched(s Service, stage Stage, why string) (Stage, string, error) {
	if !s.Touched {
		return None, "nothing of it changed", nil
	}
	return stage, why, nil
}
