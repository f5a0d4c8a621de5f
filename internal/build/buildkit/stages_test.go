package buildkit_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-dev/sluice/internal/build"
	"github.com/sluice-dev/sluice/internal/build/buildkit"
)

func TestStages(t *testing.T) {
	const dockerfile = `# syntax=docker/dockerfile:1
ARG GO=1.26
from --platform=$BUILDPLATFORM golang:${GO} as build
COPY go.mod go.sum ./
COPY *.go $MORE https://example.com/x ./
ADD --chown=1:1 ["a b", "/dst"]
COPY --from=alpine /etc/passwd /
RUN <<EOT
FROM nowhere AS trap
ENTRYPOINT no
EOT
FROM build AS TestRunner
# ENTRYPOINT comment
ENTRYPOINT \
  ["go", "test"]
FROM scratch
`
	have, err := buildkit.Stages([]byte(dockerfile))
	if err != nil {
		t.Fatal(err)
	}
	want := []build.Stage{{Name: "build", Copies: []string{"go.mod", "go.sum", "a b"}}, {Name: "testrunner", Entrypoint: true}, {}}
	if diff := cmp.Diff(want, have); diff != "" {
		t.Errorf("the stages differ (-want +got):\n%s", diff)
	}
	for _, broken := range []string{"", "RUN x\n", "FROM a\nNOSUCH b\n", "FROM\n"} {
		if stages, err := buildkit.Stages([]byte(broken)); err == nil {
			t.Errorf("%q has the stages %v", broken, stages)
		}
	}
}
