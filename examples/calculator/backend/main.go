// Command backend is the calculator's back end: it factors numbers and must not know who asks.
package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/sluice-dev/sluice/examples/calculator/internal/serving"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	os.Exit(run(ctx, os.Args[1:]))
}

func run(ctx context.Context, args []string) int {
	if len(args) > 0 {
		fmt.Fprintf(os.Stderr, "backend: unexpected argument %q: it takes none, its settings are environment variables\n", args[0])
		return serving.ExitUsage
	}
	return serving.Program{Service: "backend", Getenv: os.Getenv, Log: os.Stdout, Handler: newHandler}.Run(ctx)
}

func newHandler(c serving.Context) http.Handler {
	h := &handler{faults: c.Faults, identity: c.Identity, token: c.Env.Text("BACKEND_TOKEN", "")}
	if dir := c.Env.Text("DATA_DIR", ""); dir != "" {
		h.journal = startJournal(dir, c.Identity, time.Now())
		if h.journal.Problem != "" {
			c.Log.Error("the journal of starts is not kept", "problem", h.journal.Problem)
		}
	}
	return h.routes()
}
