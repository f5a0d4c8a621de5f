package cli

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/seal"
)

// policyProject is the project whose policy counts where the command runs, nil where there is no file.
func (inv *invocation) policyProject() (*v1alpha1.Project, error) {
	file, err := inv.project()
	if fault.Is(err, fault.NotFound) && inv.file == "" {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &file.Project, nil
}

// verify checks what the release must prove before the first write to an environment.
func (inv *invocation) verify(ctx context.Context, b Backend, p progress, s shipment) ([]seal.Proof, error) {
	project, err := inv.policyProject()
	if err != nil {
		return nil, err
	}
	proofs, err := b.Verify(ctx, project, s.release, s.ref, s.environment)
	if len(proofs) > 0 && err == nil {
		p.Note(fmt.Sprintf("verified release %s of %s: signed by %s", s.ref.Version, s.release.Service, proofs[0].Signer))
	}
	return proofs, err
}

// prove checks a release by the policy of an environment that it can go to, and says where there is no policy.
func (inv *invocation) prove(ctx context.Context, b Backend, rel *v1alpha1.Release, ref v1alpha1.ReleaseRef, env string) ([]seal.Proof, error) {
	if env == "" {
		return nil, nil
	}
	if _, ok := rel.Environments[env]; !ok {
		return nil, unknown("environment", env, "release "+rel.Version+" of "+rel.Service, slices.Sorted(maps.Keys(rel.Environments)))
	}
	project, err := inv.policyProject()
	if err != nil {
		return nil, err
	}
	if len(seal.Policies(project, rel, env)) == 0 {
		return nil, fault.New(fault.Usage, "verify release "+rel.Version, "neither sluice.yaml nor the release says what is required in %s", env).
			WithHint("write verify: into sluice.yaml")
	}
	return b.Verify(ctx, project, rel, ref, env)
}

func scansSummary(w io.Writer, scans map[string]seal.Scanned) {
	for _, name := range slices.Sorted(maps.Keys(scans)) {
		fmt.Fprintf(w, "scan     %s  %s\n", name, scans[name].Text())
	}
}

// sealSummary prints what lies beside a release and what the scans found.
func sealSummary(w io.Writer, r seal.Report) {
	scansSummary(w, r.Scans)
	if len(r.Attachments) == 0 {
		return
	}
	count := map[string]int{}
	for _, a := range r.Attachments {
		count[a.Kind]++
	}
	var parts []string
	for _, kind := range slices.Sorted(maps.Keys(count)) {
		parts = append(parts, fmt.Sprintf("%s %d", kind, count[kind]))
	}
	by := "unsigned"
	if r.Signer != "" {
		by = "signed by " + r.Signer
	}
	fmt.Fprintf(w, "sealed   %s; %s\n", strings.Join(parts, ", "), by)
}
