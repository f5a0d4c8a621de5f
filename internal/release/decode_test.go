package release

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/registry"
)

// FuzzAssemble feeds the reader of release artifacts with what any registry could hold. Whatever is taken is complete, and written
// again it reads as the same.
func FuzzAssemble(f *testing.F) {
	pinned := "r.test/a@sha256:" + strings.Repeat("0", 64)
	whole, err := json.Marshal(v1alpha1.Release{
		APIVersion: v1alpha1.APIVersion, Kind: v1alpha1.KindRelease, Service: "a", Version: "1.0.0",
		Images: map[string]string{"a": pinned}, Chart: pinned,
		Spec:         v1alpha1.Service{Images: map[string]v1alpha1.Image{"a": {Ko: "."}}},
		Environments: map[string]v1alpha1.Environment{"dev": {Values: []string{"values.yaml"}}},
	})
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{string(whole), "", "null", "{}", "[]", strings.Replace(string(whole), "1.0.0", "latest", 1), string(whole) + "{}", strings.ToUpper(string(whole))} {
		f.Add(ArtifactType, []byte(seed), ValuesType, "values.yaml", []byte("a: b"))
	}
	f.Add("text/plain", whole, ValuesType, "../x", []byte(nil))
	f.Fuzz(func(t *testing.T, kind string, config []byte, layerType, title string, data []byte) {
		rel, err := assemble(registry.Artifact{
			Type: kind, Config: registry.Blob{MediaType: kind, Data: config}, Layers: []registry.Blob{{MediaType: layerType, Title: title, Data: data}},
		})
		if err != nil {
			var classified *fault.Error
			if !errors.As(err, &classified) || rel != nil {
				t.Fatalf("refused with %v and %v", rel, err)
			}
			return
		}
		if err := complete(rel); err != nil {
			t.Fatalf("taken, but %v", err)
		}
		again, err := encode(*rel)
		if err != nil {
			t.Fatalf("taken, but it cannot be written: %v", err)
		}
		twice, err := assemble(again)
		if err != nil {
			t.Fatalf("taken, but written again it is refused: %v", err)
		}
		last, err := encode(*twice)
		if err != nil || !bytes.Equal(last.Config.Data, again.Config.Data) {
			t.Fatalf("it changes when written again, %v:\n%s\n%s", err, again.Config.Data, last.Config.Data)
		}
	})
}
