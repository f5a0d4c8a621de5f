// Command sluice builds, gates and releases microservices to Kubernetes; everything it does is in internal/cli.
package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"

	"github.com/sluice-dev/sluice/internal/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), cli.Signals()...)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	// Libraries log here; what people need reaches them as errors and events.
	slog.SetDefault(slog.New(slog.DiscardHandler))
	os.Exit(cli.Run(ctx, cli.System()))
}
