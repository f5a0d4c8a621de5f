package ko

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/sluice-dev/sluice/internal/build"
	"github.com/sluice-dev/sluice/internal/fault"
)

var _ build.Fingerprinter = (*Builder)(nil)

// generation stands for how images are assembled here. Raise it with every change that gives other images from the same inputs; a test
// compares the digests.
const generation = "1"

// Inputs are what an image is made from: the sources that the package reaches, module files, kodata, the toolchain with its settings,
// the base, the platforms, and how images are assembled.
//
// A file that could matter and does not costs a build; one that matters and is not here would be a wrong image. So packages are
// followed as the toolchain does it, but without looking at build constraints, and where that is not enough nothing is claimed.
func (b *Builder) Inputs(ctx context.Context, req build.Request) (build.Inputs, error) {
	op := "build " + req.Image.Ko
	platforms, err := parsePlatforms(op, req.Image.Platforms)
	if err != nil {
		return nil, err
	}
	tool, err := b.toolchain(op, filepath.Join(req.Dir, filepath.FromSlash(req.Image.Ko)))
	if err != nil {
		return nil, err
	}
	settings, err := tool.settings(ctx, platforms[0])
	if err != nil || !knowable(settings) {
		return nil, err
	}
	sources, err := sourcesOf(tool.dir, settings["GOMOD"], settings["GOWORK"])
	if err != nil || sources == "" {
		return nil, fault.Wrap(fault.Usage, op, err)
	}
	delete(settings, "GOMOD")
	delete(settings, "GOWORK")
	data, err := kodata(filepath.Join(tool.dir, "kodata"))
	if err != nil {
		return nil, fault.Wrap(fault.Usage, op, err)
	}
	base, err := b.base(ctx, op, req.Image.Base)
	if err != nil {
		return nil, err
	}
	inputs := build.Inputs{
		"sources": sources, "kodata": digestOf(data), "base": "none", "program": req.Name,
		"toolchain": fmt.Sprint(sorted(settings)), "platforms": fmt.Sprint(platforms),
		// Layers are compressed by the library that this program was compiled with.
		"assembly": generation + " " + runtime.Version(),
	}
	if base.fetched != nil {
		inputs["base"] = base.fetched.Digest.String()
	}
	return inputs, nil
}

// settings are those of the toolchain that change what it builds, with GOMOD and GOWORK, the files that say where packages are.
func (t toolchain) settings(ctx context.Context, platform v1.Platform) (map[string]string, error) {
	out, err := t.run(ctx, platform, "env", "-json", "GOVERSION", "GOFLAGS", "GOEXPERIMENT", "GOFIPS140", "GO111MODULE",
		"GOMIPS", "GOMIPS64", "GOPPC64", "GORISCV64", "GOMOD", "GOWORK")
	if err != nil {
		return nil, err
	}
	found := map[string]string{}
	if err := json.Unmarshal(out, &found); err != nil {
		return nil, fault.New(fault.Internal, t.op, "read what `go env` says: %w", err)
	}
	return found, nil
}

// knowable says whether the settings lead to nothing but the sources: some flags name files and programs that change what is built.
func knowable(settings map[string]string) bool {
	for _, flag := range []string{"-overlay", "-modfile", "-toolexec", "-pkgdir", "-mod=mod", "-pgo", "-cover"} {
		if strings.Contains(settings["GOFLAGS"], flag) {
			return false
		}
	}
	return filepath.Base(settings["GOMOD"]) == "go.mod"
}

func digestOf(entries []entry) string {
	h := sha256.New()
	for _, e := range entries {
		fmt.Fprintf(h, "%q %o %x\n", e.name, e.mode, sha256.Sum256(e.data))
	}
	return fmt.Sprintf("sha256:%x", h.Sum(nil))
}

// sorted is a map as name=value.
func sorted(m map[string]string) []string {
	lines := make([]string, 0, len(m))
	for _, name := range slices.Sorted(maps.Keys(m)) {
		lines = append(lines, name+"="+m[name])
	}
	return lines
}
