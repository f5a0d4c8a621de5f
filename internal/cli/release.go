package cli

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/app"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/release"
	"github.com/sluice-dev/sluice/internal/seal"
)

func newRelease(inv *invocation) *cobra.Command {
	cmd := &cobra.Command{
		Use: "release", Short: "Look at releases in the registry", GroupID: groupLook, Args: noArgs,
		Long: describe(`Look at releases in the registry: list those of a service, show what one is made of, verify that all of it is there.`, 0, 2),
		Example: `  sluice release list
  sluice release show calculator:1.4.0
  sluice release verify calculator:1.4.0`,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newReleaseShow(inv), newReleaseList(inv), newReleaseVerify(inv))
	return cmd
}

// releaseList is the result of `sluice release list`: releases, the highest version first.
type releaseList struct {
	document
	Service  string          `json:"service"`
	Releases []release.Entry `json:"releases"`
}

func newReleaseList(inv *invocation) *cobra.Command {
	var registry string
	cmd := &cobra.Command{
		Use: "list [SERVICE]", Short: "List the releases of a service, the highest version first", Args: oneArg("SERVICE", false),
		Long: describe(`List the releases of a service that the registry holds, the highest version first, with digest, commit and time of the commit.

SERVICE may be left out where sluice.yaml has only one. With --registry no sluice.yaml is needed.`, 0, 1, 2, 8, 130),
		Example: `  sluice release list
  sluice release list delivery --registry registry.example.com/prod -o json`,
		ValidArgsFunction: inv.completeServices,
		RunE: inv.enter(func(cmd *cobra.Command, args []string) error {
			service, prefix := first(args), registry
			if service == "" || prefix == "" {
				file, err := inv.project()
				if err != nil {
					return err
				}
				if service, err = serviceOf(file, service); err != nil {
					return err
				}
				prefix = orDefault(registry, file.Project.Registry)
			}
			p := inv.progress()
			defer p.Stop()
			b := inv.backend(inv.Dir, prefix, p)
			defer inv.close(b)
			entries, err := b.Releases(cmd.Context(), service)
			p.Stop()
			if err != nil {
				return err
			}
			doc := releaseList{document: head("ReleaseList"), Service: service, Releases: entries}
			return inv.emit(doc, doc.text)
		}),
	}
	registryFlag(cmd, &registry)
	return cmd
}

func (d releaseList) text(w io.Writer) {
	if len(d.Releases) == 0 {
		fmt.Fprintf(w, "no release of %s yet\n", d.Service)
		return
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "VERSION\tDIGEST\tCOMMIT\tTIME")
	for _, e := range d.Releases {
		at := "-"
		if !e.Time.IsZero() {
			at = e.Time.UTC().Format(time.RFC3339)
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", e.Version, e.Digest, orDefault(fmt.Sprintf("%.10s", e.Commit), "-"), at)
	}
	_ = table.Flush()
}

// releaseContents is the result of `sluice release show`.
type releaseContents struct {
	releaseDocument
	// Environments are the process: clusters, strategies, gates.
	Environments map[string]v1alpha1.Environment `json:"environments"`
	Parts        []release.Part                  `json:"parts"`
}

// releaseVerdict is the result of `sluice release verify`.
type releaseVerdict struct {
	document
	Service  string         `json:"service"`
	Version  string         `json:"version"`
	Ref      string         `json:"ref"`
	Verified bool           `json:"verified"`
	Parts    []release.Part `json:"parts"`
	// Proofs are what the release proved by the policy of an environment, where one was named.
	Proofs []seal.Proof `json:"proofs,omitempty"`
}

// contents finds a release and lists its parts; more is asked of the same backend.
func (inv *invocation) contents(ctx context.Context, name, registry string, verify bool, more ...func(Backend, *v1alpha1.Release, v1alpha1.ReleaseRef) error) (*v1alpha1.Release, v1alpha1.ReleaseRef, []release.Part, error) {
	dir, prefix, err := inv.registryFor(name, registry)
	if err != nil {
		return nil, v1alpha1.ReleaseRef{}, nil, err
	}
	p := inv.progress()
	defer p.Stop()
	b := inv.backend(dir, prefix, p)
	defer inv.close(b)
	rel, ref, err := b.Release(ctx, name)
	if err != nil {
		return nil, ref, nil, err
	}
	parts, err := b.Parts(ctx, rel, ref, verify)
	for _, ask := range more {
		if err == nil {
			err = ask(b, rel, ref)
		}
	}
	return rel, ref, parts, err
}

func newReleaseShow(inv *invocation) *cobra.Command {
	var registry string
	cmd := &cobra.Command{
		Use: "show RELEASE", Short: "Show what a release is made of", Args: oneArg("RELEASE", true),
		Long: describe(`Show a release: images and chart by digest, commit, environments with their strategies, and the types of what refers to each part
(signatures, bills of materials, provenance).`, 0, 1, 2, 8, 130),
		Example: `  sluice release show calculator:1.4.0
  sluice release show registry.example.com/prod/delivery:1.0.2 -o yaml`,
		RunE: inv.enter(func(cmd *cobra.Command, args []string) error {
			rel, ref, parts, err := inv.contents(cmd.Context(), args[0], registry, false)
			if err != nil {
				return err
			}
			doc := releaseContents{releaseDocument: *describeRelease(app.Built{Release: rel, Ref: ref}), Environments: rel.Environments, Parts: parts}
			doc.Kind = "Release"
			return inv.emit(doc, doc.text)
		}),
	}
	registryFlag(cmd, &registry)
	return cmd
}

func (d releaseContents) text(w io.Writer) {
	fmt.Fprintf(w, "%s %s\n", d.Service, d.Version)
	if d.Source.Commit != "" {
		dirty := ""
		if d.Source.Dirty {
			dirty = ", with uncommitted changes"
		}
		fmt.Fprintf(w, "commit %s of %s%s\n", d.Source.Commit, d.Source.Time.UTC().Format(time.RFC3339), dirty)
	}
	for _, part := range d.Parts {
		fmt.Fprintf(w, "%s  %s\n", part.Name, part.Ref)
		for _, kind := range slices.Sorted(maps.Keys(part.Referrers)) {
			fmt.Fprintf(w, "  %d of type %s\n", part.Referrers[kind], kind)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(d.Environments)) {
		e := d.Environments[name]
		fmt.Fprintf(w, "environment %s  %s", name, strategyOf(e.Strategy))
		if len(e.After) > 0 {
			fmt.Fprintf(w, ", after %s", strings.Join(e.After, ", "))
		}
		if e.Registry != "" {
			fmt.Fprintf(w, ", from %s", e.Registry)
		}
		fmt.Fprintln(w)
	}
}

// strategyOf is the key of the strategy that is set.
func strategyOf(s v1alpha1.Strategy) string {
	switch {
	case s.BlueGreen != nil:
		return "blueGreen"
	case s.Canary != nil:
		return "canary"
	}
	return "direct"
}

func newReleaseVerify(inv *invocation) *cobra.Command {
	var registry, env string
	cmd := &cobra.Command{
		Use: "verify RELEASE", Short: "Verify that all of a release is in the registry", Args: oneArg("RELEASE", true),
		Long: describe(`Read everything that a release names, images of all platforms and their layers included, and compare it with its digest.

What is missing or damaged is named, and the command ends with 3. With --env signatures and provenance are checked as a deployment
to that environment would.`, 0, 1, 2, 3, 8, 130),
		Example: `  sluice release verify calculator:1.4.0
  sluice release verify calculator:1.4.0 --env prod
  sluice release verify registry.example.com/prod/delivery:1.0.2 -o json`,
		RunE: inv.enter(func(cmd *cobra.Command, args []string) error {
			var proofs []seal.Proof
			rel, ref, parts, err := inv.contents(cmd.Context(), args[0], registry, true, func(b Backend, rel *v1alpha1.Release, ref v1alpha1.ReleaseRef) (err error) {
				proofs, err = inv.prove(cmd.Context(), b, rel, ref, env)
				return err
			})
			if err != nil {
				return err
			}
			doc := releaseVerdict{document: head("ReleaseVerification"), Service: rel.Service, Version: rel.Version, Ref: ref.Ref, Verified: true, Parts: parts, Proofs: proofs}
			var broken []string
			for _, part := range parts {
				if part.Error != "" {
					doc.Verified = false
					broken = append(broken, part.Name+": "+part.Error)
				}
			}
			if err := inv.emit(doc, doc.text); err != nil || doc.Verified {
				return err
			}
			return &reportedError{fault.New(fault.Refused, "verify "+args[0], "%s", strings.Join(broken, "\n")).
				WithHint("build it again with --rebuild, or copy what is missing from where it still is")}
		}),
	}
	registryFlag(cmd, &registry)
	envFlag(cmd, inv, &env, "`environment` by whose policy signatures and provenance are checked (default: they are not)")
	return cmd
}

func (d releaseVerdict) text(w io.Writer) {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, part := range d.Parts {
		verdict := fmt.Sprintf("%d blobs, %d bytes", part.Blobs, part.Bytes)
		if part.Error != "" {
			verdict = "BROKEN"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\n", part.Name, verdict, part.Ref)
	}
	_ = table.Flush()
	for _, p := range d.Proofs {
		fmt.Fprintf(w, "%s is signed by %s", p.Name, p.Signer)
		if p.Builder != "" {
			fmt.Fprintf(w, ", built by %s from %s", p.Builder, p.Commit)
		}
		fmt.Fprintln(w)
	}
}
