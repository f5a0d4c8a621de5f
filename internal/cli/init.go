package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sluice-dev/sluice/internal/config"
	"github.com/sluice-dev/sluice/internal/fault"
)

// schemaFile is what the header of a written sluice.yaml names, so that editors complete and check it offline.
const schemaFile = "sluice.schema.json"

// initDocument is the result of `sluice init`.
type initDocument struct {
	document
	Files    []string `json:"files"`
	Services []string `json:"services"`
	// Notes say what the file still needs from a person.
	Notes []string `json:"notes,omitempty"`
}

type initFlags struct{ name, registry, context string }

func newInit(inv *invocation) *cobra.Command {
	var flags initFlags
	cmd := &cobra.Command{
		Use: "init", Short: "Write a sluice.yaml for this folder", GroupID: groupAuthor, Args: noArgs,
		Long: describe(`Write a sluice.yaml for this folder: a service for each Helm chart below it, an image for each Dockerfile and each Go main
package that no Dockerfile is beside or above, and two environments, dev and prod, on the local cluster. A stage of a Dockerfile that is
called test, testrunner, unittest or the like and has an ENTRYPOINT becomes the image's testTarget. It writes the JSON Schema for editors
beside it, and never overwrites a sluice.yaml.`, 0, 2),
		Example: `  sluice init
  sluice init --name calculator --registry ghcr.io/acme/calculator --context my-aks`,
		RunE: inv.enter(func(*cobra.Command, []string) error {
			return inv.init(flags)
		}),
	}
	cmd.Flags().StringVar(&flags.name, "name", "", "`name` of the project (default: that of the folder)")
	cmd.Flags().StringVar(&flags.registry, "registry", "", "OCI repository `prefix` to push to (default: localhost:5000/NAME)")
	cmd.Flags().StringVar(&flags.context, "context", "sluice-local", "kubeconfig `context` of the environments")
	return cmd
}

func (inv *invocation) init(flags initFlags) error {
	path := filepath.Join(inv.Dir, config.FileName)
	if inv.file != "" {
		path = inv.file
		if !filepath.IsAbs(path) {
			path = filepath.Join(inv.Dir, path)
		}
	}
	dir := filepath.Dir(path)
	if _, err := os.Lstat(path); err == nil {
		return fault.New(fault.Usage, "init", "%s exists already", path).WithHint("`sluice check` checks it; remove it to start again")
	} else if !errors.Is(err, fs.ErrNotExist) {
		return fault.Wrap(fault.Usage, "init", err)
	}
	found, err := detect(dir, flags)
	if err != nil {
		return err
	}
	if err := writeNew(path, found.yaml()); err != nil {
		return err
	}
	// A file that init writes and check refuses would be worse than none.
	if _, err := config.Load(path, inv.LookupEnv); err != nil {
		_ = os.Remove(path)
		return fault.New(fault.Usage, "init", "what was found here makes no valid file; nothing was written: %w", err)
	}
	schema := filepath.Join(dir, schemaFile)
	if err := os.WriteFile(schema, config.Schema(), 0o644); err != nil {
		return fault.Wrap(fault.Usage, "init", err)
	}
	doc := initDocument{document: head("InitResult"), Files: []string{path, schema}, Services: found.names(), Notes: found.notes}
	return inv.emit(doc, func(w io.Writer) {
		fmt.Fprintf(w, "wrote %s and %s: %s\n", path, schema, counted(doc.Services, "service"))
		for _, note := range doc.Notes {
			fmt.Fprintf(w, "note: %s\n", note)
		}
		fmt.Fprintln(w, "next: `sluice check`, then `sluice local up` and `sluice run --to dev`")
	})
}

// writeNew writes a file that must not exist yet.
func writeNew(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return fault.Wrap(fault.Usage, "init", err)
	}
	_, err = f.WriteString(text)
	if err := errors.Join(err, f.Close()); err != nil {
		_ = os.Remove(path)
		return fault.Wrap(fault.Usage, "init", err)
	}
	return nil
}

// yaml is the file for what was found.
func (d detected) yaml() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# yaml-language-server: $schema=%s\napiVersion: sluice.dev/v1alpha1\nkind: Project\nname: %s\n", schemaFile, d.name)
	fmt.Fprintf(&b, "registry: %s   # where images, charts and releases are pushed\nservices:\n", d.registry)
	for _, s := range d.services {
		fmt.Fprintf(&b, "  %s:\n    chart: %s\n", s.name, quoted(s.chart))
		if len(s.images) == 0 {
			continue
		}
		b.WriteString("    images:\n")
		for _, i := range s.images {
			fmt.Fprintf(&b, "      %s: %s\n", i.name, i.yaml())
		}
		b.WriteString("    imageValues:   # where the chart's values take the full reference of each image\n")
		for _, i := range s.images {
			fmt.Fprintf(&b, "      %s: %s\n", i.name, i.value)
		}
	}
	b.WriteString("environments:\n")
	d.environment(&b, "dev", "", "{direct: {}}")
	d.environment(&b, "prod", "    after: [dev]   # a release must have passed its gates there\n",
		fmt.Sprintf("{blueGreen: {traffic: {%s: {}}, keepOld: 10m}}", d.router))
	return b.String()
}

func (d detected) environment(b *strings.Builder, name, extra, strategy string) {
	fmt.Fprintf(b, "  %s:\n%s    cluster: {context: %s}\n    namespace: %s\n", name, extra, quoted(d.context), d.name+"-"+name)
	if values := d.values[name]; values != "" {
		fmt.Fprintf(b, "    values: [%s]\n", quoted(values))
	}
	fmt.Fprintf(b, "    strategy: %s\n", strategy)
}

// quoted writes a string that YAML would otherwise read as something else.
func quoted(s string) string {
	for _, r := range s {
		plain := r == '.' || r == '/' || r == '-' || r == '_' || (r >= 'a' && r <= 'z') || (r >= 'A' && r <= 'Z') || (r >= '0' && r <= '9')
		if !plain {
			return fmt.Sprintf("%q", s)
		}
	}
	if s == "" || s == "." {
		return fmt.Sprintf("%q", s)
	}
	return s
}
