package ko_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/build/ko"
	"github.com/sluice-dev/sluice/internal/fault"
)

// TestAnInterruptEndsTheToolchainInOrder puts a program in go's place that tells when it has begun and whether it was asked to end.
func TestAnInterruptEndsTheToolchainInOrder(t *testing.T) {
	dir := t.TempDir()
	begun, ended := filepath.Join(dir, "begun"), filepath.Join(dir, "ended")
	script := "#!/bin/sh\ntrap 'echo asked > " + ended + "; exit 1' INT\necho > " + begun + "\nwhile :; do :; done\n"
	if err := os.WriteFile(filepath.Join(dir, "go"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := ko.New(ko.Options{}).Build(ctx, request(v1alpha1.Image{Ko: "./cmd/greet"}), t.TempDir())
		done <- err
	}()
	for {
		if _, err := os.Stat(begun); err == nil {
			break
		}
		select {
		case err := <-done:
			t.Fatalf("it ended before it began: %v", err)
		default:
		}
	}
	cancel()
	if err := <-done; !fault.Is(err, fault.Interrupted) {
		t.Errorf("got %v of kind %v", err, fault.KindOf(err))
	}
	if said, err := os.ReadFile(ended); err != nil || string(said) != "asked\n" {
		t.Errorf("the toolchain was not asked to end: %q, %v", said, err)
	}
}
