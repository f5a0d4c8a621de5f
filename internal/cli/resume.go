package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/app"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/rollout"
)

// placeFlags name a service's place by the project's file.
type placeFlags struct {
	env  string
	wait bool
}

func newResume(inv *invocation) *cobra.Command {
	var flags placeFlags
	cmd := &cobra.Command{
		Use: "resume [SERVICE] --env ENV", Short: "Go on with an unfinished rollout", GroupID: groupShip, Args: oneArg("SERVICE", false),
		Long: describe(`Go on with the unfinished rollout of a service in an environment, from wherever it was left.`,
			0, 1, 2, 3, 4, 5, 6, 7, 8, 130),
		Example: `  sluice resume --env prod
  sluice resume calculator --env prod --wait`,
		ValidArgsFunction: inv.completeServices,
		RunE: inv.enter(func(cmd *cobra.Command, args []string) error {
			return inv.at(cmd.Context(), first(args), flags.env, func(ctx context.Context, b Backend, place *app.Place, p progress) error {
				active, err := unfinished(ctx, place, "resume")
				if err != nil {
					return err
				}
				r, err := place.Machine.Drive(ctx, place.Key, active.Number, inv.driving(place, flags.wait))
				doc, err := inv.arrive(place, r, err)
				p.Stop()
				inv.summarize(doc, err)
				if err != nil {
					return err
				}
				return inv.emit(doc, doc.summary)
			})
		}),
	}
	envFlag(cmd, inv, &flags.env, "`environment` of the rollout; may be left out where the file has only one")
	waitFlag(cmd, &flags.wait)
	inv.cluster.register(cmd)
	return cmd
}

// at opens a service's place in an environment of the project's file for one command.
func (inv *invocation) at(ctx context.Context, service, environment string, run func(context.Context, Backend, *app.Place, progress) error) error {
	file, service, err := inv.service(service)
	if err != nil {
		return err
	}
	environment, env, err := environmentOf(file.Project.Environments, environment, file.Path)
	if err != nil {
		return err
	}
	p := inv.progress()
	defer p.Stop()
	b := inv.backend(file.Dir, file.Project.Registry, p)
	defer inv.close(b)
	place, err := b.Open(ctx, service, environment, env)
	if err != nil {
		return err
	}
	return run(ctx, b, place, p)
}

func (inv *invocation) driving(place *app.Place, wait bool) rollout.DriveOptions {
	return rollout.DriveOptions{Locker: place.Locker, Holder: inv.holder(), WaitSettled: wait}
}

// unfinished is the rollout that a command goes on with.
func unfinished(ctx context.Context, place *app.Place, verb string) (v1alpha1.Rollout, error) {
	records, err := place.Store.List(ctx, place.Key)
	if err != nil {
		return v1alpha1.Rollout{}, err
	}
	// The newest one is meant: on its way it makes older ones make room.
	for _, record := range records {
		if !record.Rollout.Phase.Final() {
			return record.Rollout, nil
		}
	}
	return v1alpha1.Rollout{}, nothingUnfinished(place, verb)
}

func nothingUnfinished(place *app.Place, verb string) error {
	return fault.New(fault.NotFound, verb, "no rollout of %s in %s is unfinished", place.Key.Service, place.Key.Environment).
		WithHint("`sluice history %s --env %s` lists the finished ones", place.Key.Service, place.Key.Environment)
}
