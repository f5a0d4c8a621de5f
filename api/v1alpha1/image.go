package v1alpha1

// Image says how one image is built. Exactly one of ko, dockerfile and script is set.
type Image struct {
	// Ko is the folder, relative to sluice.yaml, of a Go main package, built without a daemon.
	Ko string `json:"ko,omitempty"`
	// Dockerfile is a Dockerfile, relative to sluice.yaml, built by BuildKit.
	Dockerfile string `json:"dockerfile,omitempty"`
	// Script builds the image with a command of your own.
	Script *Script `json:"script,omitempty"`
	// Base is the base image of a ko build. Default: an empty image with CA certificates of the build machine left out.
	Base string `json:"base,omitempty"`
	// Platforms to build for, for example linux/amd64. Default: the platform of the building machine, on linux.
	Platforms []string `json:"platforms,omitempty"`
	// Context is the folder, relative to sluice.yaml, from which a Dockerfile copies. Default: the folder of the Dockerfile.
	Context string `json:"context,omitempty"`
	// Target is the stage of the Dockerfile that becomes the image. Default: the last one.
	Target string `json:"target,omitempty"`
	// Args are the Dockerfile's build arguments by name. They are kept in the image's history and in the release: secrets do not belong here.
	Args map[string]string `json:"args,omitempty"`
	// Bases pins base images: it maps a reference as the Dockerfile's FROM or COPY --from spells it to the reference by digest that is used in its place.
	Bases map[string]string `json:"bases,omitempty"`
	// Secrets by the id under which the Dockerfile mounts them (RUN --mount=type=secret,id=…). They reach no layer, no cache and no log.
	Secrets map[string]BuildSecret `json:"secrets,omitempty"`
	// Cache says where steps that were built elsewhere are taken from, and where they are left for others.
	Cache *BuildCache `json:"cache,omitempty"`
	// TestTarget is the stage of the Dockerfile that tests the image. It is built first, and its ENTRYPOINT run, with its CMD as arguments; a stage without one tests in its RUN steps.
	TestTarget string `json:"testTarget,omitempty"`
	// TestResults is the folder in the test stage to which the tests write their results, as JUnit XML or TRX files. Default: none, the exit code alone says whether they passed.
	TestResults string `json:"testResults,omitempty"`
}

// Script is a command that builds an image. It leaves an OCI image layout in the folder $SLUICE_OUTPUT, or pushes the image itself and prints its reference as the last line of its output.
type Script struct {
	// Run is the command and its arguments, started in the folder of sluice.yaml. A name with a slash is relative to that folder.
	Run []string `json:"run"`
	// Inputs are all files that the command reads: files, folders and patterns as in paths, relative to sluice.yaml. Where they, the image's
	// keys here and the program are the same as before, the image is found in the registry and the command does not run; what else it uses,
	// its tools and $SLUICE_VERSION too, is then taken for unchanged. A link counts as where it leads. Default: unknown, the command always runs.
	Inputs []string `json:"inputs,omitempty"`
	// Env are environment variables of the command, beside the inherited ones and those of the build: SLUICE_SERVICE, SLUICE_IMAGE, SLUICE_VERSION, SLUICE_COMMIT, SLUICE_PLATFORMS, SOURCE_DATE_EPOCH and SLUICE_OUTPUT. They are kept in the release: secrets do not belong here.
	Env map[string]string `json:"env,omitempty"`
}

// BuildSecret says where a secret of a build comes from. Exactly one of env and file is set.
type BuildSecret struct {
	// Env is the name of an environment variable of the build.
	Env string `json:"env,omitempty"`
	// File that holds the secret, absolute or relative to sluice.yaml.
	File string `json:"file,omitempty"`
}

// BuildCache moves the steps of a build between machines. Each entry is an image reference, for example registry.example.com/cache/shop:main, or a folder relative to sluice.yaml that begins with ./ (below ./.sluice it is no source of any build).
type BuildCache struct {
	// From is where built steps are looked for. One that does not exist yet is left out.
	From []string `json:"from,omitempty"`
	// To is where the steps of this build are written, all stages included; inline keeps those of the image's own stages in the image itself.
	To []string `json:"to,omitempty"`
}
