//go:build e2e

package vault_test

import (
	"cmp"
	"encoding/json"
	"os"
	"os/exec"
	"testing"
	"time"
)

func servers() map[string]func(*testing.T) *bed {
	return map[string]func(*testing.T) *bed{"fake": startFake, "real": startReal}
}

// startReal starts the Vault that `make bin/vault` has built. It ends with its standard input, which is this process's.
func startReal(t *testing.T) *bed {
	program := cmp.Or(os.Getenv("SLUICE_TEST_VAULT"), "../../../bin/vault")
	command := exec.CommandContext(t.Context(), program)
	command.Stderr = t.Output()
	input, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	output, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatalf("no Vault to test with (`make bin/vault` builds it): %v", err)
	}
	t.Cleanup(func() {
		_ = input.Close()
		_ = command.Wait()
	})
	var server struct{ Address, Token, Key string }
	if err := json.NewDecoder(output).Decode(&server); err != nil {
		t.Fatalf("%s does not start: %v", program, err)
	}
	b := newBed(t, toServer(server.Address), server.Token)
	b.write("POST", "sys/mounts/second", map[string]any{"type": "kv", "options": map[string]string{"version": "2"}})
	b.write("POST", "sys/mounts/first", map[string]any{"type": "kv", "options": map[string]string{"version": "1"}})
	b.settle()
	return b
}

// settle waits until the new engine of version 2 has prepared its storage, during which it refuses to write.
func (b *bed) settle() {
	b.t.Helper()
	for range 500 {
		if _, err := b.try("PUT", "second/data/settled", map[string]any{"data": map[string]string{}}); err == nil {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	b.t.Fatal("the engine of version 2 is not ready")
}
