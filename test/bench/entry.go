package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
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
			return e, stop, resp.Body.Close()
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			stop()
			return entry{}, nil, fmt.Errorf("a second Traefik does not come up: %w", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// unthrottle moves a configuration of Traefik to another loopback address, on the same ports because the Gateway names one of them, and takes out what the default is to be for.
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
	}
	host, err := beside(web)
	if err != nil {
		return entry{}, nil, err
	}
	e := entry{fmt.Sprintf("%s:%d", host, web), fmt.Sprintf("http://%s:%d/metrics", host, metrics)}
	config.EntryPoints["web"]["address"], config.EntryPoints["metrics"]["address"] = e.address, fmt.Sprintf("%s:%d", host, metrics)
	delete(config.Providers, "providersThrottleDuration")
	for _, provider := range config.Providers {
		if settings, ok := provider.(map[string]any); ok {
			delete(settings, "throttleDuration")
		}
	}
	whole["entryPoints"], whole["providers"] = config.EntryPoints, config.Providers
	text, err = yaml.Marshal(whole)
	return e, text, err
}

// beside is an address on loopback at which nobody listens on a port.
func beside(port int) (string, error) {
	var err error
	for n := 2; n < 10; n++ {
		host := fmt.Sprintf("127.0.0.%d", n)
		var l net.Listener
		if l, err = net.Listen("tcp", fmt.Sprintf("%s:%d", host, port)); err == nil {
			return host, l.Close()
		}
	}
	return "", err
}
