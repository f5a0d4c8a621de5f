package app

import (
	"github.com/sluice-dev/sluice/internal/build"
	"github.com/sluice-dev/sluice/internal/build/buildkit"
)

// Stages reads the stages of a Dockerfile, for a person who begins with one.
func Stages(dockerfile []byte) ([]build.Stage, error) { return buildkit.Stages(dockerfile) }
