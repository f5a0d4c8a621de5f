package buildkit

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	gatewaypb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/tonistiigi/fsutil"
	"github.com/tonistiigi/fsutil/types"

	"github.com/sluice-dev/sluice/internal/build"
	"github.com/sluice-dev/sluice/internal/fault"
)

var _ build.Fingerprinter = (*Builder)(nil)

// Inputs are what BuildKit makes of the Dockerfile before it runs a step: the steps of the target and of the test stage, with their base
// images by digest, the configuration of the image, and the files that the steps read.
//
// Nothing is known where a step reads something that may change without a trace, such as an ADD of a URL without a checksum.
func (b *Builder) Inputs(ctx context.Context, req build.Request) (build.Inputs, error) {
	op := "read " + req.Image.Dockerfile
	say := req.Say
	// What an image is dated with does not make it another one, and what BuildKit says here it will say again when it builds.
	req.Time, req.Log = time.Time{}, nil
	job, err := b.prepare(ctx, op, req)
	if err != nil {
		return nil, err
	}
	defer job.close()
	read := &reading{job: job, inputs: build.Inputs{}}
	opt := job.options(req.Image.Target)
	attributes := opt.FrontendAttrs
	opt.FrontendAttrs, opt.CacheImports = nil, nil
	statuses, wait := job.follow()
	_, err = job.client.Build(ctx, opt, "", func(ctx context.Context, c gateway.Client) (*gateway.Result, error) {
		read.failure = read.all(ctx, c, attributes)
		return gateway.NewResult(), read.failure
	}, statuses)
	wait()
	switch {
	case read.failure != nil:
		return nil, job.failure(ctx, read.failure)
	case err != nil:
		return nil, job.failure(ctx, err)
	case read.unknown != "":
		say("it is built every time, for it is made from " + read.unknown + ", which may change without a trace")
		return nil, nil
	}
	return read.inputs, nil
}

// reading collects the inputs of one image.
type reading struct {
	job    *job
	inputs build.Inputs
	// unknown is something of which nobody knows what it holds; "" for none.
	unknown string
	failure error
}

// all reads the target and, where there is one, the test stage: an image whose tests changed has not passed them.
func (r *reading) all(ctx context.Context, c gateway.Client, attributes map[string]string) error {
	caps := c.BuildOpts().Caps
	if caps.Supports(gatewaypb.CapReferenceOutput) != nil {
		r.unknown = "steps that " + r.job.at.String() + " does not tell"
		return nil
	}
	if err := r.stage(ctx, c, "image", attributes); err != nil || r.job.req.Image.TestTarget == "" {
		return err
	}
	tests := maps.Clone(attributes)
	tests["target"] = r.job.req.Image.TestTarget
	delete(tests, "platform")
	return r.stage(ctx, c, "tests", tests)
}

// stage reads one stage. Without Evaluate BuildKit resolves base images, and runs nothing.
func (r *reading) stage(ctx context.Context, c gateway.Client, name string, attributes map[string]string) error {
	result, err := c.Solve(ctx, gateway.SolveRequest{Frontend: frontend, FrontendOpt: attributes})
	if err != nil {
		return err
	}
	sum := sha256.New()
	for _, key := range slices.Sorted(maps.Keys(result.Metadata)) {
		if key == exptypes.ExporterPlatformsKey || strings.HasPrefix(key, exptypes.ExporterImageConfigKey) {
			fmt.Fprintf(sum, "%s %q\n", key, result.Metadata[key])
		}
	}
	refs := maps.Clone(result.Refs)
	if refs == nil {
		refs = map[string]gateway.Reference{"": result.Ref}
	}
	files := map[string]folderPart{}
	for _, platform := range slices.Sorted(maps.Keys(refs)) {
		g, err := graphOf(ctx, refs[platform])
		if err != nil {
			return err
		}
		fmt.Fprintf(sum, "%s %s\n", platform, g.digest)
		maps.Copy(files, g.files)
		if r.unknown == "" {
			r.unknown = g.unknown
		}
	}
	r.inputs[name] = fmt.Sprintf("sha256:%x", sum.Sum(nil))
	for _, key := range slices.Sorted(maps.Keys(files)) {
		digest, err := files[key].digest(ctx, r.job.mounts)
		if err != nil {
			return fault.Wrap(fault.Usage, r.job.op, err)
		}
		r.inputs["files "+key] = digest
	}
	return nil
}

// folderPart is the part of a folder that a step reads, as BuildKit asks for it.
type folderPart struct {
	Folder  string   `json:"folder"`
	Include []string `json:"include,omitempty"`
	Exclude []string `json:"exclude,omitempty"`
	Follow  []string `json:"follow,omitempty"`
}

// key names the part in the inputs.
func (p folderPart) key() string {
	// Strings always encode.
	text, _ := json.Marshal(p)
	return string(text)
}

// digest is that of the files as BuildKit would be sent them.
func (p folderPart) digest(ctx context.Context, mounts map[string]fsutil.FS) (string, error) {
	folder, ok := mounts[p.Folder]
	if !ok {
		return "", fmt.Errorf("the Dockerfile reads from %q, which no build is given", p.Folder)
	}
	part, err := fsutil.NewFilterFS(folder, &fsutil.FilterOpt{IncludePatterns: p.Include, ExcludePatterns: p.Exclude, FollowPaths: p.Follow})
	if err != nil {
		return "", err
	}
	tree := build.NewTree()
	err = part.Walk(ctx, "", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return add(tree, part, name, entry)
	})
	return tree.Digest(), err
}

// add takes one file into the tree.
func add(tree *build.Tree, from fsutil.FS, name string, entry fs.DirEntry) error {
	info, err := entry.Info()
	if err != nil {
		return err
	}
	stat, ok := info.Sys().(*types.Stat)
	if !ok {
		return fmt.Errorf("nothing is known of %s", name)
	}
	var content io.Reader
	switch mode := info.Mode(); {
	case mode&fs.ModeSymlink != 0:
		content = strings.NewReader(stat.Linkname)
	case mode.IsRegular():
		file, err := from.Open(name)
		if err != nil {
			return err
		}
		defer file.Close()
		content = file
	}
	return tree.Add(name, info.Mode(), content)
}
