package v1alpha1

import "time"

// Release is what is shipped: immutable, named by the digest of the OCI artifact that holds it.
type Release struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Service    string `json:"service"`
	// Version is semver, the same for images, chart and release.
	Version string `json:"version"`
	// Images by name, each a full reference by digest.
	Images map[string]string `json:"images"`
	// Chart is the full reference of the chart's OCI artifact, by digest.
	Chart string `json:"chart"`
	// Spec is the service's part of the process, as of the commit.
	Spec Service `json:"spec"`
	// Environments is the rest of the process: clusters, strategies, gates, steps.
	Environments map[string]Environment `json:"environments"`
	Source       Source                 `json:"source"`
	// Scans is what the scan of each image found when the release was first made, by the image's name.
	Scans map[string]ScanSummary `json:"scans,omitempty"`
	// Tests are the results of the images' tests, by image; images that have none are left out.
	Tests map[string]Tests `json:"tests,omitempty"`
	// Files are the values files by their path, kept in the artifact as layers.
	Files map[string][]byte `json:"-"`
	// Unchanged are the images that were found and not built, by name, with the version that they were built for. Only the build that made
	// the release knows.
	Unchanged map[string]string `json:"-"`
	// ChartArchive is the chart as packed by Helm, loaded with the release.
	ChartArchive []byte `json:"-"`
}

// Source says which commit a release was built from.
type Source struct {
	Commit string    `json:"commit,omitempty"`
	Dirty  bool      `json:"dirty,omitempty"`
	Time   time.Time `json:"time,omitzero"`
}

// ReleaseRef names a release.
type ReleaseRef struct {
	// Ref is the full OCI reference by digest.
	Ref string `json:"ref"`
	// Digest of the release artifact, sha256:…
	Digest  string `json:"digest"`
	Version string `json:"version"`
}

// Tests sums up what an image's tests said; a release only holds tests that passed.
type Tests struct {
	// Passed and Skipped count test cases. Both are 0 where the tests wrote no results and only their exit code is known.
	Passed  int `json:"passed"`
	Skipped int `json:"skipped"`
}
