package release_test

import (
	"runtime"
	"testing"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/registry/registrytest"
	"github.com/sluice-dev/sluice/internal/release"
)

func TestImagesAreBuiltInParallelWithALimit(t *testing.T) {
	project, dir := shop(t)
	service := project.Services["shop"]
	for _, name := range []string{"a", "b", "c", "d"} {
		service.Images[name] = v1alpha1.Image{Ko: "./" + name}
		service.ImageValues[name] = "images." + name
	}
	for limit, want := range map[int]int{1: 1, 3: 3} {
		b := &builder{gate: make(chan struct{})}
		m := maker(b, clean(), &registrytest.Memory{})
		m.Places = make(chan struct{}, limit)
		done := make(chan error, 1)
		go func() {
			_, _, err := m.Make(t.Context(), release.MakeRequest{Project: project, Service: "shop", Dir: dir, Version: "1.0.0"})
			done <- err
		}()
		// Nobody leaves before as many as may are inside; more than may would be seen in most.
		for started := 0; started < want; {
			b.mu.Lock()
			started = b.within
			b.mu.Unlock()
			runtime.Gosched()
		}
		close(b.gate)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if b.most != want || len(b.built) != 6 {
			t.Errorf("limit %d: %d at once, %d built", limit, b.most, len(b.built))
		}
	}
}
