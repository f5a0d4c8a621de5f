// Package build is the port to the builders of container images, the packer of charts and the source control they read; none of them may push.
package build

import (
	"context"
	"time"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// StateFolder is where Sluice keeps what it writes beside the sources, such as the results of tests. It is part of no source.
const StateFolder = ".sluice"

// Request asks for one image.
type Request struct {
	// Dir is the project's folder; the image's paths are relative to it.
	Dir     string
	Service string
	Name    string
	Image   v1alpha1.Image
	Version string
	Commit  string
	// Time is when the commit was made; zero where there is none. What a builder has to date carries it.
	Time time.Time
	// Log takes what the builder says, line by line, while it works; it may be called concurrently. Nil: nowhere.
	Log func(line string)
}

// Say logs a line where somebody listens.
func (r Request) Say(line string) {
	if r.Log != nil {
		r.Log(line)
	}
}

// Epoch is what a builder dates things with: Time, or 1970 where there is none.
func (r Request) Epoch() time.Time {
	if r.Time.IsZero() {
		return time.Unix(0, 0)
	}
	return r.Time
}

// Image is what was built: an OCI image layout, or the reference of an image that the builder pushed itself.
type Image struct {
	// Layout is a folder in OCI image layout that holds the image (or index) as its only entry; "" where there is a Reference.
	Layout string
	// Reference by digest; "" where there is a Layout.
	Reference string
	// Digest of the image or index, sha256:…
	Digest string
}

// Builder builds an image. A layout that it returns is <dir>/<image name>. It fails with fault.Usage where the sources are wrong or do
// not build, with fault.Unreachable where what builds cannot be reached, and with fault.Interrupted where the context ended.
type Builder interface {
	Build(ctx context.Context, req Request, dir string) (Image, error)
}

// Stage of a Dockerfile.
type Stage struct {
	// Name in lower case; "" where it has none.
	Name string
	// Entrypoint says that the stage itself has one.
	Entrypoint bool
	// Copies are the paths of the context that it copies, as far as they are paths and no patterns.
	Copies []string
}

// Tester is a Builder that can run an image's tests. Tests that fail are a result; an error is what kept them from running, of the same
// kinds as a Builder's.
type Tester interface {
	// Test runs the tests and leaves the files that they wrote as their results in dir, which is there and empty.
	Test(ctx context.Context, req Request, dir string) (Tested, error)
}

// Tested is how tests ended.
type Tested struct {
	// Passed says that whatever ran them ended well.
	Passed bool
	// Reason says how they ended where they did not pass: "exit code 1".
	Reason string
	// Output is the end of what they printed.
	Output string
	// Collected says that result files were looked for, and that dir holds all that there were.
	Collected bool
}

// Inputs are all that an image is made from, by name: digests of sources, versions of tools, settings.
type Inputs map[string]string

// Fingerprinter is a Builder that knows what an image will be made from before it makes it, which takes far less time.
type Fingerprinter interface {
	// Inputs are such that the same inputs give an image that can stand for the other. They are empty where that cannot be known. It
	// fails as Build would.
	Inputs(ctx context.Context, req Request) (Inputs, error)
}

// Chart is a packed Helm chart.
type Chart struct {
	Name string
	// Metadata is the content of Chart.yaml as JSON: the configuration of Helm's OCI artifact.
	Metadata []byte
	// Archive is the .tgz that `helm package` makes.
	Archive []byte
	// Missing are the dependencies that it lacks, because they would have to be fetched and the Packer fetches nothing.
	Missing []string
}

// Packer packs the chart in a folder under a version, which becomes its appVersion too. The same folder and version give the same
// bytes. It fails with fault.Usage where the folder holds no valid chart.
type Packer interface {
	Pack(ctx context.Context, dir, version string) (Chart, error)
}

// Checkout is what source control knows of a folder.
type Checkout struct {
	// Commit is the full hash of the commit that is checked out, Time when it was committed.
	Commit string
	Time   time.Time
	// Folder is the described folder relative to the top of the work tree, with slashes; "" for the top itself.
	Folder string
	// Ref is the branch that is checked out, in full (refs/heads/main), else the branch or tag that a CI system says it builds; "" where nobody says one.
	Ref string
	// PullRequest says that a CI system builds a pull request, Into the branch, in full, that it would be merged into; "" where nobody says it.
	PullRequest bool
	Into        string
	// Before is the commit at which the branch was before what was pushed, as a CI system says it; "" where none does.
	Before string
	// Changed is a hash of everything that differs from the commit, untracked files included; "" where nothing does.
	Changed string
	// Uncommitted are the paths that Changed is about.
	Uncommitted []Change
	// Tags that the commit is or descends from, in no order.
	Tags []string
	// Shallow says that the history is cut off, so that tags and distances cannot be relied on.
	Shallow bool
}

// Sources reads source control. Describe fails with fault.NotFound where the folder is known not to be under source control.
type Sources interface {
	Describe(ctx context.Context, dir string) (Checkout, error)
	// Distances counts, for each tag that the checkout is or descends from, the commits after it; all commits for the tag "".
	Distances(ctx context.Context, dir string, tags []string) (map[string]int, error)
	// Complete fetches the commits and tags that a shallow clone lacks. It fails as History does.
	Complete(ctx context.Context, dir string) error
}
