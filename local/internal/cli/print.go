package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"sort"
	"strings"
	"text/tabwriter"

	"github.com/sluice-dev/sluice/local/internal/cluster"
	"sigs.k8s.io/yaml"
)

// printStatus writes a node's status in the chosen format.
func printStatus(out io.Writer, format string, status cluster.Status) error {
	if format != "text" {
		return printData(out, format, status)
	}
	if status.Node == "" {
		_, err := fmt.Fprintf(out, "There is no local cluster in %s. Start one with: sluice local up\n", status.State)
		return err
	}
	state := "ready"
	switch {
	case !status.Running:
		state = "not running"
	case !status.Ready:
		state = "not ready"
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	row := func(name, value string) { fmt.Fprintf(table, "%s\t%s\n", name, value) }
	row("cluster", status.Node+" is "+state)
	row("kubernetes", status.Version)
	row("kubeconfig", status.Kubeconfig+" (context "+status.Context+")")
	row("kubectl", status.Kubectl)
	row("registry", status.Registry)
	if status.Buildkit != "" {
		row("buildkit", status.Buildkit)
	}
	row("entry point", strings.Join(status.EntryURLs, ", "))
	row("metrics", status.MetricsURL)
	row("ingress class", status.IngressClass)
	row("storage class", status.StorageClass)
	row("gateway", status.Gateway+" (class "+status.GatewayClass+")")
	row("logs", status.Logs)
	if !status.Ready {
		row("processes", describeProcesses(status.Processes))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, problem := range status.Problems {
		if _, err := fmt.Fprintln(out, "problem:", problem); err != nil {
			return err
		}
	}
	if status.Ready {
		return nil
	}
	_, err := fmt.Fprintln(out, "Repair it with: sluice local up")
	return err
}

func describeProcesses(processes map[string]int) string {
	var parts []string
	for name, pid := range processes {
		if pid == 0 {
			parts = append(parts, name+" -")
			continue
		}
		parts = append(parts, fmt.Sprintf("%s %d", name, pid))
	}
	sort.Strings(parts)
	return strings.Join(parts, ", ")
}

// checked is what check prints of a machine that lacks nothing.
type checked struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	// Builds are the parts that the next up builds first.
	Builds []string `json:"builds"`
}

func printCheck(out io.Writer, format string, builds []string) error {
	if format != "text" {
		return printData(out, format, checked{APIVersion: "local.sluice.dev/v1alpha1", Kind: "Check", Builds: builds})
	}
	text := "This machine lacks nothing; sluice local up takes seconds."
	if len(builds) > 0 {
		text = "This machine lacks nothing; sluice local up builds these parts first, minutes in all: " + strings.Join(builds, ", ") + "."
	}
	_, err := fmt.Fprintln(out, text)
	return err
}

// taken is what down prints.
type taken struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	// Found is false if there was no node to take down.
	Found bool   `json:"found"`
	State string `json:"state"`
}

func printDown(out io.Writer, format, state string, found bool) error {
	if format != "text" {
		return printData(out, format, taken{APIVersion: "local.sluice.dev/v1alpha1", Kind: "Down", Found: found, State: state})
	}
	text := "The local cluster is gone."
	if !found {
		text = "There is no local cluster in " + state + "."
	}
	_, err := fmt.Fprintln(out, text)
	return err
}

func printData(out io.Writer, format string, value any) error {
	var content []byte
	var err error
	if format == "yaml" {
		content, err = yaml.Marshal(value)
	} else if content, err = json.MarshalIndent(value, "", "  "); err == nil {
		content = append(content, '\n')
	}
	if err != nil {
		return fmt.Errorf("print as %s: %w", format, err)
	}
	_, err = out.Write(content)
	return err
}
