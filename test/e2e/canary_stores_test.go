//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
)

func plantInFile(h *hunt) {
	h.variables = map[string]any{"sops": "env/test.enc.yaml"}
	keys := filepath.Join(h.t.TempDir(), "keys.txt")
	h.env = append(h.env, "SOPS_AGE_KEY_FILE="+keys)
	h.configure(nil)
	h.says(0, "variables", "init", "--env", "test")
	code, out := h.stdin(planted, "variables", "set", "DB_PASSWORD", "--env", "test")
	h.must(0)(code, out)
	h.clean("the output of sluice variables set", out)
	// An editor gets the clear text in a file that is gone afterwards; what it leaves in a mess is kept encrypted.
	editor := filepath.Join(h.t.TempDir(), "editor")
	if err := os.WriteFile(editor, []byte("#!/bin/sh\necho '}: no YAML' >>\"$1\"\n"), 0o755); err != nil {
		h.t.Fatal(err)
	}
	h.env = append(h.env, "EDITOR="+editor, "VISUAL=")
	code, out = h.run("variables", "edit", "--env", "test")
	if code == 0 {
		h.t.Errorf("a mess was taken:\n%s", out)
	}
	h.clean("the output of sluice variables edit", out)
}

// plantInVault starts the Vault that `make bin/vault` has built. It ends with its standard input.
func plantInVault(h *hunt) {
	command := exec.CommandContext(h.t.Context(), "../../bin/vault")
	input, err := command.StdinPipe()
	if err != nil {
		h.t.Fatal(err)
	}
	output, err := command.StdoutPipe()
	if err != nil {
		h.t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		h.t.Fatalf("no Vault to test with (`make bin/vault` builds it): %v", err)
	}
	h.t.Cleanup(func() {
		_ = input.Close()
		_ = command.Wait()
	})
	var server struct{ Address, Token string }
	if err := json.NewDecoder(output).Decode(&server); err != nil {
		h.t.Fatal(err)
	}
	write := func(path string, body any) {
		h.t.Helper()
		text, err := json.Marshal(body)
		if err != nil {
			h.t.Fatal(err)
		}
		request, err := http.NewRequestWithContext(h.t.Context(), http.MethodPost, server.Address+"/v1/"+path, bytes.NewReader(text))
		if err != nil {
			h.t.Fatal(err)
		}
		request.Header.Set("X-Vault-Token", server.Token)
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			h.t.Fatal(err)
		}
		defer answer.Body.Close()
		if said, _ := io.ReadAll(answer.Body); answer.StatusCode >= 300 {
			h.t.Fatalf("%s: %s %s", path, answer.Status, said)
		}
	}
	write("sys/mounts/secret", map[string]any{"type": "kv", "options": map[string]string{"version": "2"}})
	h.until("Vault has its engine ready", func() bool {
		answer, err := http.Get(server.Address + "/v1/sys/health")
		if err == nil {
			_ = answer.Body.Close()
		}
		return err == nil && answer.StatusCode == http.StatusOK
	})
	write("secret/data/app", map[string]any{"data": map[string]string{"DB_PASSWORD": planted}})
	h.env = append(h.env, "VAULT_TOKEN="+server.Token)
	h.variables = map[string]any{"vault": map[string]any{"address": server.Address, "mount": "secret", "path": "app"}}
}
