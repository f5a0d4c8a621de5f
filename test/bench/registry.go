package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/random"

	"github.com/sluice-dev/sluice/internal/registry/oci"
	"github.com/sluice-dev/sluice/test/distribution"
)

// unchanged is how many services the monorepo of buildNothing has.
const unchanged = 5

// buildNothing builds a monorepo of which nothing changed: every service with one image, in one Go module, with a registry on loopback.
func buildNothing(ctx context.Context, b *bed) error {
	server := distribution.Serve(distribution.Options{Referrers: true})
	defer server.Close()
	dir, err := unchangedMonorepo(ctx, server.Host)
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	var walls []float64
	for round := range 6 {
		begin := time.Now()
		for i := range unchanged {
			if err := buildOne(ctx, b, dir, fmt.Sprintf("service%d", i), round > 0); err != nil {
				return err
			}
		}
		if round > 0 {
			walls = append(walls, time.Since(begin).Seconds())
		}
	}
	figure("build_noop_s", median(walls), "s")
	return nil
}

// buildOne builds a service and makes sure that its image was found where it should have been.
func buildOne(ctx context.Context, b *bed, dir, service string, want bool) error {
	cmd := exec.CommandContext(ctx, b.bin, "build", service, "-o", "json")
	cmd.Dir = dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("build %s: %w\n%s", service, err, stderr.String())
	}
	var doc struct{ Unchanged map[string]string }
	if err := json.Unmarshal(out, &doc); err != nil {
		return err
	}
	if found := doc.Unchanged["app"] != ""; found != want {
		return fmt.Errorf("build %s: the image was found: %v, want %v", service, found, want)
	}
	return nil
}

// unchangedMonorepo writes services with a library that all of them use, and commits them.
func unchangedMonorepo(ctx context.Context, host string) (string, error) {
	dir, err := os.MkdirTemp("", "sluice-bench-")
	if err != nil {
		return "", err
	}
	config := "apiVersion: sluice.dev/v1alpha1\nkind: Project\nname: bench\nregistry: " + host + "/bench\nservices:\n"
	files := map[string]string{
		"go.mod":     "module example.com/bench\n\ngo 1.26\n",
		"lib/lib.go": "package lib\n\nfunc Name() string { return \"bench\" }\n",
	}
	for i := range unchanged {
		name := fmt.Sprintf("service%d", i)
		config += fmt.Sprintf("  %s:\n    images: {app: {ko: ./%s}}\n    chart: %s/chart\n    imageValues: {app: image}\n", name, name, name)
		files[name+"/main.go"] = "package main\n\nimport (\n\t\"net/http\"\n\n\t\"example.com/bench/lib\"\n)\n\nfunc main() { _ = http.ListenAndServe(lib.Name(), nil) }\n"
		files[name+"/chart/Chart.yaml"] = "apiVersion: v2\nname: " + name + "\nversion: 0.0.0\n"
		files[name+"/chart/values.yaml"] = "image: \"\"\n"
		files[name+"/chart/templates/pod.yaml"] = "apiVersion: v1\nkind: Pod\nmetadata: {name: {{ .Release.Name }}}\nspec: {containers: [{name: app, image: {{ .Values.image }}}]}\n"
	}
	files["sluice.yaml"] = config + "environments:\n  bench: {cluster: {context: nowhere}, namespace: bench, strategy: {direct: {}}}\n"
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return dir, err
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			return dir, err
		}
	}
	for _, args := range [][]string{{"init", "-q"}, {"add", "."}, {"-c", "user.name=bench", "-c", "user.email=bench@example.com", "commit", "-q", "-m", "bench"}} {
		cmd := exec.CommandContext(ctx, "git", args...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			return dir, fmt.Errorf("git %s: %w\n%s", args[0], err, out)
		}
	}
	return dir, nil
}

// promoteWithinARegistry copies an image of 20 MB to another repository of its registry, and counts the bytes of blobs that moved.
func promoteWithinARegistry(ctx context.Context, b *bed) error {
	server := distribution.Serve(distribution.Options{Referrers: true})
	defer server.Close()
	image, err := random.Image(5<<20, 4)
	if err != nil {
		return err
	}
	path, err := layout.Write(filepath.Join(os.TempDir(), fmt.Sprintf("sluice-bench-%d", os.Getpid())), empty.Index)
	if err != nil {
		return err
	}
	defer os.RemoveAll(string(path))
	if err := path.AppendImage(image); err != nil {
		return err
	}
	r := oci.New(oci.Options{})
	from, err := r.PushLayout(ctx, string(path), server.Host+"/dev/image", "1.0.0")
	if err != nil {
		return err
	}
	before := server.Received.Load() + server.Sent.Load()
	if before < 20<<20 {
		return fmt.Errorf("only %d bytes were pushed", before)
	}
	copied, err := r.Copy(ctx, from, server.Host+"/prod/image", "1.0.0")
	if err != nil {
		return err
	}
	if _, err := r.Verify(ctx, copied.Ref); err != nil {
		return err
	}
	figure("promote_blob_bytes", float64(copied.Moved), "bytes")
	return nil
}
