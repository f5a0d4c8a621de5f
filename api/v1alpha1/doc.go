// Package v1alpha1 holds Sluice's nouns as plain data; it must not import anything but the standard library, and must not do I/O.
package v1alpha1

// APIVersion is the value of `apiVersion` in every file and record of this version.
const APIVersion = "sluice.dev/v1alpha1"

// Kinds of the documents that Sluice reads and writes.
const (
	KindProject = "Project"
	KindRelease = "Release"
	KindRollout = "Rollout"
)
