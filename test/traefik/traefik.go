// Package traefik runs further processes of the local cluster's Traefik, for the same routes, each at a loopback address of its own; it must not
// touch the cluster's own.
package traefik

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"sigs.k8s.io/yaml"
)

// Options of a process.
type Options struct {
	// Bin is the sluice that knows where the local cluster is.
	Bin string
	// Dir is where its configuration is written.
	Dir string
	// Gather changes for two seconds before they are applied, as Traefik does by default: the local cluster's applies them after 100 ms.
	Gather bool
	// Log is where it writes its errors. Default: nowhere.
	Log io.Writer
}

// Process is a Traefik that can be ended and started anew. It is not safe for concurrent use.
type Process struct {
	// Address is where it listens, Metrics the URL of its counters.
	Address, Metrics string

	program, config, kubeconfig string
	log                         io.Writer
	// claim keeps others away from the address while nobody listens there.
	claim net.Listener
	cmd   *exec.Cmd
}

// New starts one. Close ends it.
func New(ctx context.Context, o Options) (*Process, error) {
	out, err := exec.CommandContext(ctx, o.Bin, "local", "status", "-o", "json").Output()
	if err != nil {
		return nil, fmt.Errorf("sluice local status: %w", err)
	}
	var status struct {
		State     string         `json:"state"`
		Processes map[string]int `json:"processes"`
	}
	if err := json.Unmarshal(out, &status); err != nil {
		return nil, fmt.Errorf("sluice local status: %w", err)
	}
	p := &Process{config: filepath.Join(o.Dir, "traefik.yaml"), kubeconfig: filepath.Join(status.State, "config", "traefik.kubeconfig"), log: o.Log}
	if p.program, err = os.Readlink(fmt.Sprintf("/proc/%d/exe", status.Processes["traefik"])); err != nil {
		return nil, fmt.Errorf("the local cluster's Traefik: %w", err)
	}
	text, err := os.ReadFile(filepath.Join(status.State, "config", "traefik.yaml"))
	if err != nil {
		return nil, err
	}
	if text, err = p.move(text, o.Gather); err != nil {
		return nil, err
	}
	if err = os.WriteFile(p.config, text, 0o644); err == nil {
		err = p.Start(ctx)
	}
	if err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

// Start starts it again after a Kill, with the same configuration, and waits until it answers.
func (p *Process) Start(ctx context.Context) error {
	p.cmd = exec.Command(p.program, "--configFile="+p.config)
	p.cmd.Env = append(os.Environ(), "KUBECONFIG="+p.kubeconfig)
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	if err := p.cmd.Start(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		err := p.answers(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("a further Traefik does not come up: %w", err), p.Kill())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (p *Process) answers(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.Metrics, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// Kill ends it without a chance to finish anything, as a node does that fails.
func (p *Process) Kill() error {
	err := p.cmd.Process.Kill()
	var exit *exec.ExitError
	if ended := p.cmd.Wait(); !errors.As(ended, &exit) {
		err = errors.Join(err, ended)
	}
	return err
}

// Close ends it for good, if it runs.
func (p *Process) Close() {
	if p.cmd != nil && p.cmd.Process != nil && p.cmd.ProcessState == nil {
		_ = p.Kill()
	}
	if p.claim != nil {
		_ = p.claim.Close()
	}
}

// move gives a configuration of Traefik another loopback address, on the same ports because the Gateway names one of them.
func (p *Process) move(text []byte, gather bool) ([]byte, error) {
	var config struct {
		EntryPoints map[string]map[string]any `json:"entryPoints"`
		Providers   map[string]any            `json:"providers"`
	}
	var whole map[string]any
	for _, into := range []any{&config, &whole} {
		if err := yaml.Unmarshal(text, into); err != nil {
			return nil, fmt.Errorf("Traefik's configuration: %w", err)
		}
	}
	var web, metrics int
	for name, port := range map[string]*int{"web": &web, "metrics": &metrics} {
		was, _ := config.EntryPoints[name]["address"].(string)
		if _, err := fmt.Sscanf(was, "127.0.0.1:%d", port); err != nil {
			return nil, fmt.Errorf("Traefik's entry point %s is at %q", name, was)
		}
	}
	host, err := p.take(web)
	if err != nil {
		return nil, err
	}
	p.Address, p.Metrics = fmt.Sprintf("%s:%d", host, web), fmt.Sprintf("http://%s:%d/metrics", host, metrics)
	config.EntryPoints["web"]["address"], config.EntryPoints["metrics"]["address"] = p.Address, fmt.Sprintf("%s:%d", host, metrics)
	if gather {
		delete(config.Providers, "providersThrottleDuration")
		for _, provider := range config.Providers {
			if settings, ok := provider.(map[string]any); ok {
				delete(settings, "throttleDuration")
			}
		}
	}
	whole["entryPoints"], whole["providers"], whole["log"] = config.EntryPoints, config.Providers, map[string]any{"level": "ERROR"}
	return yaml.Marshal(whole)
}

// take claims an address on loopback at which nobody listens on a port.
func (p *Process) take(port int) (string, error) {
	var err error
	for n := 2; n < 10; n++ {
		address := fmt.Sprintf("127.0.0.%d:%d", n, port)
		if p.claim, err = net.Listen("unix", "@sluice-traefik-"+address); err != nil {
			continue
		}
		var l net.Listener
		if l, err = net.Listen("tcp", address); err == nil {
			return fmt.Sprintf("127.0.0.%d", n), l.Close()
		}
		_ = p.claim.Close()
	}
	return "", fmt.Errorf("no loopback address is free for a further Traefik: %w", err)
}
