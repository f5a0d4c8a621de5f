package buildkit

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"

	"github.com/sluice-dev/sluice/internal/build"
)

// Stages reads the stages of a Dockerfile in their order, as far as its text alone says them.
func Stages(dockerfile []byte) ([]build.Stage, error) {
	parsed, err := parser.Parse(bytes.NewReader(dockerfile))
	if err != nil {
		return nil, fmt.Errorf("read the Dockerfile: %w", err)
	}
	found, _, err := instructions.Parse(parsed.AST, linter.New(&linter.Config{}))
	if err != nil {
		return nil, fmt.Errorf("read the Dockerfile: %w", err)
	}
	var stages []build.Stage
	for _, s := range found {
		stage := build.Stage{Name: s.Name}
		for _, command := range s.Commands {
			switch c := command.(type) {
			case *instructions.EntrypointCommand:
				stage.Entrypoint = true
			case *instructions.CopyCommand:
				if c.From == "" {
					stage.Copies = append(stage.Copies, plain(c.SourcePaths)...)
				}
			case *instructions.AddCommand:
				stage.Copies = append(stage.Copies, plain(c.SourcePaths)...)
			}
		}
		stages = append(stages, stage)
	}
	return stages, nil
}

// plain leaves out what is no path by itself: patterns, variables and addresses.
func plain(paths []string) []string {
	var out []string
	for _, p := range paths {
		if !strings.ContainsAny(p, "*?[$") && !strings.Contains(p, "://") && !strings.HasPrefix(p, "git@") {
			out = append(out, p)
		}
	}
	return out
}
