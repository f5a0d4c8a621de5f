package v1alpha1

// Labels and annotations that Sluice writes to the objects it deploys.
const (
	LabelService     = "sluice.dev/service"
	LabelEnvironment = "sluice.dev/environment"
	LabelSlot        = "sluice.dev/slot"
	// LabelRollout is the number of the rollout that wrote the object.
	LabelRollout = "sluice.dev/rollout"
	// LabelPhase and LabelRelease are on records only.
	LabelPhase   = "sluice.dev/phase"
	LabelRelease = "sluice.dev/release"
	// LabelRoutes marks the ConfigMap that holds a slot's routes.
	LabelRoutes = "sluice.dev/routes"
	// AnnotationDigest is the deploy digest a slot carries.
	AnnotationDigest = "sluice.dev/digest"
	// AnnotationGeneration is the generation of the lease under which the object was last written.
	AnnotationGeneration = "sluice.dev/generation"
	// AnnotationShifted is when the route was last written, RFC 3339 with nanoseconds.
	AnnotationShifted = "sluice.dev/shifted-at"
	// AnnotationSplit says in words what a router last wrote into the object; what differs was changed by somebody else.
	AnnotationSplit = "sluice.dev/split"
)

// FieldManager is the name under which Sluice applies objects.
const FieldManager = "sluice"
