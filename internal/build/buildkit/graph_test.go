package buildkit

import (
	"context"
	"strings"
	"testing"

	"github.com/moby/buildkit/client/llb"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/identity"
	"github.com/opencontainers/go-digest"
)

// answer is a fake reference to a graph of steps.
type answer struct {
	gateway.Reference
	state llb.State
}

func (a answer) ToState() (llb.State, error) {
	definition, err := a.state.Marshal(context.Background())
	if err != nil {
		return llb.State{}, err
	}
	op, err := llb.NewDefinitionOp(definition.ToPB())
	return llb.NewState(op), err
}

var base = "docker.io/library/base@sha256:" + strings.Repeat("a", 64)

// steps are those of a Dockerfile that copies what paths name, as a request would have it.
func requested(command string, paths ...string) llb.State {
	context := llb.Local("context", llb.FollowPaths(paths), llb.SessionID(identity.NewID()), llb.SharedKeyHint(identity.NewID()), llb.LocalUniqueID(identity.NewID()))
	return llb.Image(base).File(llb.Copy(context, "/", "/app/")).Run(llb.Shlex(command)).Root()
}

func read(t *testing.T, state llb.State) *graph {
	t.Helper()
	g, err := graphOf(t.Context(), answer{state: state})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestGraphForgetsTheRequest(t *testing.T) {
	first, second := read(t, requested("make", "src")), read(t, requested("make", "src"))
	if first.digest != second.digest || first.digest == "" {
		t.Errorf("the same steps are %s and %s", first.digest, second.digest)
	}
	if part, ok := first.files[folderPart{Folder: "context", Follow: []string{"src"}}.key()]; !ok || first.unknown != "" {
		t.Errorf("it reads %v (%v), unknown %q", first.files, part, first.unknown)
	}
	for about, other := range map[string]llb.State{"command": requested("make all", "src"), "files": requested("make", "src", "lib")} {
		if read(t, other).digest == first.digest {
			t.Errorf("another %s is the same graph", about)
		}
	}
}

func TestGraphOfNothing(t *testing.T) {
	g, err := graphOf(t.Context(), nil)
	if err != nil || g.digest != "" || len(g.files) != 0 {
		t.Errorf("got %+v, %v", g, err)
	}
}

func TestPinnedSources(t *testing.T) {
	commit, sum := strings.Repeat("1", 40), "sha256:"+strings.Repeat("b", 64)
	for about, c := range map[string]struct {
		state  llb.State
		pinned bool
	}{
		"an image by digest":   {llb.Image(base), true},
		"an image by tag":      {llb.Image("docker.io/library/base:1"), false},
		"a file":               {llb.HTTP("https://example.com/file"), false},
		"a file with its sum":  {llb.HTTP("https://example.com/file", llb.Checksum(digest.Digest(sum))), true},
		"a branch":             {llb.Git("https://example.com/repo.git", "main"), false},
		"a commit":             {llb.Git("https://example.com/repo.git", commit), true},
		"a short commit":       {llb.Git("https://example.com/repo.git", commit[:7]), false},
		"an image in a layout": {llb.OCILayout("shop@" + sum), false},
	} {
		if got := read(t, c.state.File(llb.Mkdir("/x", 0o755))).unknown; (got == "") != c.pinned {
			t.Errorf("%s: unknown is %q", about, got)
		}
	}
}
