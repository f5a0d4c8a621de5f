package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"sigs.k8s.io/yaml"
)

// entry is a way in for users.
type entry struct {
	// address is where it listens, metrics the URL of its counters.
	address, metrics string
}

// gatheringAddress is on loopback, beside the cluster's own entry point; the port must be the one that the Gateway listens at.
const gatheringAddress = "127.0.0.2"

// gathering starts a second process of the cluster's own Traefik, for the same routes, that gathers changes for two seconds as Traefik does by
// default: the local cluster's applies them after 100 ms. What it returns ends it.
func (b *bed) gathering(ctx context.Context) (entry, func(), error) {
	out, err := exec.CommandContext(ctx, b.bin, "local", "status", "-o", "json").Output()
	if err != nil {
		return entry{}, nil, err
	}
	var status struct {
		State     string         `json:"state"`
		Processes map[string]int `json:"processes"`
	}
	if err := json.Unmarshal(out, &status); err != nil {
		return entry{}, nil, fmt.Errorf("sluice local status: %w", err)
	}
	program, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", status.Processes["traefik"]))
	if err != nil {
		return entry{}, nil, fmt.Errorf("the local cluster's Traefik: %w", err)
	}
	text, err := os.ReadFile(filepath.Join(status.State, "config", "traefik.yaml"))
	if err != nil {
		return entry{}, nil, err
	}
	e, text, err := unthrottle(text)
	if err != nil {
		return entry{}, nil, err
	}
	path := filepath.Join(b.dir, "traefik.yaml")
	if err := os.WriteFile(path, text, 0o644); err != nil {
		return entry{}, nil, err
	}
	cmd := exec.Command(program, "--configFile="+path)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+filepath.Join(status.State, "config", "traefik.kubeconfig"))
	if err := cmd.Start(); err != nil {
		return entry{}, nil, err
	}
	stop := func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	}
	for deadline := time.Now().Add(time.Minute); ; {
		resp, err := http.Get(e.metrics)
		if err == nil {
			_ = resp.Body.Close()
			return e, stop, nil
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			stop()
			return entry{}, nil, fmt.Errorf("a second Traefik does not come up: %w", err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// unthrottle moves a configuration of Traefik to another address and takes out what the default is to be for.
func unthrottle(text []byte) (entry, []byte, error) {
	var config struct {
		EntryPoints map[string]map[string]any `json:"entryPoints"`
		Providers   map[string]any            `json:"providers"`
	}
	var whole map[string]any
	for _, into := range []any{&config, &whole} {
		if err := yaml.Unmarshal(text, into); err != nil {
			return entry{}, nil, fmt.Errorf("Traefik's configuration: %w", err)
		}
	}
	var web, metrics int
	for name, port := range map[string]*int{"web": &web, "metrics": &metrics} {
		was, _ := config.EntryPoints[name]["address"].(string)
		if _, err := fmt.Sscanf(was, "127.0.0.1:%d", port); err != nil {
			return entry{}, nil, fmt.Errorf("Traefik's entry point %s is at %q", name, was)
		}
		config.EntryPoints[name]["address"] = fmt.Sprintf("%s:%d", gatheringAddress, *port)
	}
	delete(config.Providers, "providersThrottleDuration")
	for _, provider := range config.Providers {
		if settings, ok := provider.(map[string]any); ok {
			delete(settings, "throttleDuration")
		}
	}
	whole["entryPoints"], whole["providers"] = config.EntryPoints, config.Providers
	text, err := yaml.Marshal(whole)
	return entry{fmt.Sprintf("%s:%d", gatheringAddress, web), fmt.Sprintf("http://%s:%d/metrics", gatheringAddress, metrics)}, text, err
}
