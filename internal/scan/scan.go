// Package scan is the port to vulnerability scanners; it must not decide what a finding means for a build.
package scan

import (
	"context"
	"time"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// Target is an image to look into.
type Target struct {
	// Name of the image in sluice.yaml, Digest of what was built, sha256:…
	Name, Digest string
	// Layout is a folder in OCI image layout that holds the image of one platform as its only entry; "" where the image is only in a registry.
	Layout string
	// Reference by digest in the registry, and the platform that is meant where it names an index.
	Reference, Platform string
}

// Finding is one vulnerability of one package.
type Finding struct {
	ID       string            `json:"id"`
	Severity v1alpha1.Severity `json:"severity"`
	Package  string            `json:"package,omitempty"`
	Version  string            `json:"version,omitempty"`
	// Fixed is a version without it; "" where none is known.
	Fixed string `json:"fixed,omitempty"`
	// Place is the file that brings it, where the scanner says so.
	Place string `json:"place,omitempty"`
	Title string `json:"title,omitempty"`
}

// Result is what a scanner found.
type Result struct {
	// Scanner and its version.
	Scanner string
	// Database is when the scanner's knowledge was made; zero where it does not say.
	Database time.Time
	Findings []Finding
}

// MaxReport bounds a scanner's report in bytes, MaxFindings what it may list.
const (
	MaxReport   = 256 << 20
	MaxFindings = 200_000
)

// Scanner looks for known vulnerabilities. Findings come sorted: the worst first, then by ID, package, version and place, each once.
//
// A scanner that is not there, has no database, or does not finish is fault.Unreachable: nothing is known then, which is never the
// same as nothing found. A report that is none is fault.Fatal.
type Scanner interface {
	Scan(ctx context.Context, target Target) (Result, error)
}

// Dater is a Scanner that can say how old its knowledge is.
type Dater interface {
	Scanner
	// Dated says whether results carry the time of the database. Where they do, a result without one is as good as none.
	Dated() bool
}
