package cli

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/sluice-dev/sluice/internal/fault"
)

type deployFlags struct {
	env, registry, reason string
	wait                  bool
}

func newDeploy(inv *invocation) *cobra.Command {
	var flags deployFlags
	cmd := &cobra.Command{
		Use: "deploy RELEASE --env ENV", Short: "Bring a release into one environment", GroupID: groupShip, Args: oneArg("RELEASE", true),
		Long: describe(`Bring a release into one environment, gate it there and take it back where it fails.

RELEASE is service@sha256:…, service:version or a full OCI reference. Everything else comes from the release artifact, so no
sluice.yaml is needed where --registry or a full reference says where the artifact is. The release must be verified in the
environments that come before this one, and must prove what "verify" asks for, in the sluice.yaml where this runs and in the
release: otherwise it is refused before anything is touched. --reason is kept in the record and, with version, commit and person, as
the change cause of the workloads, which `+"`kubectl rollout history`"+` shows. Run again after an interruption, the same command goes on where
it stopped.`,
			0, 1, 2, 3, 4, 5, 6, 7, 8, 130),
		Example: `  sluice deploy calculator:1.4.0 --env dev --reason "new discounts"
  sluice deploy localhost:5000/calculator/calculator:1.4.0 --env prod
  sluice deploy calculator:1.4.0 --env prod --registry localhost:5000/calculator -o json`,
		RunE: inv.enter(func(cmd *cobra.Command, args []string) error {
			if flags.env == "" {
				return fault.New(fault.Usage, "", "--env is missing").WithHint("`sluice deploy %s --env ENV`", args[0])
			}
			return inv.deploy(cmd, args[0], flags)
		}),
	}
	envFlag(cmd, inv, &flags.env, "`environment` to deploy to")
	registryFlag(cmd, &flags.registry)
	reasonFlag(cmd, &flags.reason)
	waitFlag(cmd, &flags.wait)
	inv.cluster.register(cmd)
	return cmd
}

func registryFlag(cmd *cobra.Command, target *string) {
	cmd.Flags().StringVar(target, "registry", "", "OCI repository `prefix` of images, charts and releases, in place of the file's")
}

func waitFlag(cmd *cobra.Command, target *bool) {
	cmd.Flags().BoolVar(target, "wait", false, "stay until the old slot is retired")
}

func (inv *invocation) deploy(cmd *cobra.Command, name string, flags deployFlags) error {
	dir, registry, err := inv.registryFor(name, flags.registry)
	if err != nil {
		return err
	}
	p := inv.progress()
	defer p.Stop()
	b := inv.backend(dir, registry, p)
	defer inv.close(b)
	release, ref, err := b.Release(cmd.Context(), name)
	if err != nil {
		return err
	}
	doc, err := inv.ship(cmd.Context(), b, p, shipment{release: release, ref: ref, environment: flags.env, reason: flags.reason, wait: flags.wait})
	p.Stop()
	if err != nil {
		return err
	}
	return inv.emit(doc, doc.summary)
}

// registryFor finds the project's folder and registry, neither of which a full reference needs.
func (inv *invocation) registryFor(name, registry string) (dir, prefix string, err error) {
	file, err := inv.project()
	switch {
	case err == nil && registry == "":
		return file.Dir, file.Project.Registry, nil
	case err == nil:
		return file.Dir, registry, nil
	case fault.Is(err, fault.NotFound) && inv.file == "" && (registry != "" || fullReference(name)):
		return inv.Dir, registry, nil
	case fault.Is(err, fault.NotFound) && inv.file == "":
		return "", "", fault.New(fault.NotFound, "find release "+name, "there is no sluice.yaml here that says in which registry it is").
			WithHint("give --registry PREFIX, or the full OCI reference of the release")
	}
	return "", "", err
}

// fullReference says whether a release is named by its place in a registry.
func fullReference(name string) bool { return strings.Contains(name, "/") }
