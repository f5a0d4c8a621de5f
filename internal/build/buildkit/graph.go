package buildkit

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"

	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/solver/pb"
	"github.com/opencontainers/go-digest"
	"google.golang.org/protobuf/proto"
)

// graph is what is left of BuildKit's graph of steps when everything is taken out that differs from one request to the next.
type graph struct {
	ops  map[string]*pb.Op
	sums map[string]string
	// digest of the steps, in their order.
	digest string
	// files that steps read, by folderPart.key.
	files map[string]folderPart
	// unknown is a source of which nobody knows what it holds; "" for none.
	unknown string
}

// graphOf reads the graph that leads to a result; that of an empty image is empty.
func graphOf(ctx context.Context, ref gateway.Reference) (*graph, error) {
	g := &graph{ops: map[string]*pb.Op{}, sums: map[string]string{}, files: map[string]folderPart{}}
	if ref == nil {
		return g, nil
	}
	state, err := ref.ToState()
	if err != nil {
		return nil, err
	}
	definition, err := state.Marshal(ctx)
	if err != nil {
		return nil, err
	}
	last := ""
	for _, data := range definition.Def {
		op := &pb.Op{}
		if err := proto.Unmarshal(data, op); err != nil {
			return nil, fmt.Errorf("read BuildKit's steps: %w", err)
		}
		last = digest.FromBytes(data).String()
		g.ops[last] = op
	}
	if last == "" {
		return g, nil
	}
	// The last one leads to all others.
	g.digest, err = g.sum(last)
	return g, err
}

// sum is the digest of a step and all before it.
func (g *graph) sum(name string) (string, error) {
	if sum, ok := g.sums[name]; ok {
		return sum, nil
	}
	op, ok := g.ops[name]
	if !ok {
		return "", fmt.Errorf("BuildKit's steps name %s, which is none of them", name)
	}
	for _, input := range op.Inputs {
		sum, err := g.sum(input.Digest)
		if err != nil {
			return "", err
		}
		input.Digest = sum
	}
	if source := op.GetSource(); source != nil {
		if err := g.source(source); err != nil {
			return "", err
		}
	}
	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(op)
	if err != nil {
		return "", err
	}
	g.sums[name] = fmt.Sprintf("sha256:%x", sha256.Sum256(data))
	return g.sums[name], nil
}

// source takes out of a source what stands for the request, and notes what else must be known of it.
func (g *graph) source(source *pb.SourceOp) error {
	scheme, name, _ := strings.Cut(source.Identifier, "://")
	if scheme == "local" {
		return g.local(name, source)
	}
	if !pinned(scheme, name, source.Attrs) && g.unknown == "" {
		g.unknown = source.Identifier
	}
	return nil
}

// pinned says whether a source always holds the same.
func pinned(scheme, name string, attributes map[string]string) bool {
	switch scheme {
	case "docker-image":
		return strings.Contains(name, "@sha256:")
	case "git":
		_, commit, _ := strings.Cut(name, "#")
		commit, _, _ = strings.Cut(commit, ":")
		return attributes[pb.AttrGitChecksum] != "" || regexp.MustCompile(`^[0-9a-f]{40}([0-9a-f]{24})?$`).MatchString(commit)
	case "http", "https":
		return attributes[pb.AttrHTTPChecksum] != ""
	default:
		return false
	}
}

// local notes the files of a folder that are read. Their names in the request are in the key of what is noted.
func (g *graph) local(name string, source *pb.SourceOp) error {
	part := folderPart{Folder: name}
	for attribute, list := range map[string]*[]string{
		pb.AttrIncludePatterns: &part.Include, pb.AttrExcludePatterns: &part.Exclude, pb.AttrFollowPaths: &part.Follow,
	} {
		if text := source.Attrs[attribute]; text != "" {
			if err := json.Unmarshal([]byte(text), list); err != nil {
				return fmt.Errorf("read what a step reads of %s: %w", name, err)
			}
		}
	}
	key := part.key()
	g.files[key] = part
	source.Attrs = map[string]string{"files": key}
	return nil
}
