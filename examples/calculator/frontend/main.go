// Command frontend is the calculator's front end: it serves the page and asks the back end; it must not calculate.
package main

import (
	"context"
	"fmt"
	"io"
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
	os.Exit(run(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr))
}

const usage = `usage: frontend                                            serve, with settings from environment variables
       frontend check --url URL --want 13,17 [--timeout 10s]   ask for factors once; exit 1 if the answer is another one
       frontend migrate [--exit-code 0]                        pretend to migrate a database
`

func run(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		return serving.Program{Service: "frontend", Getenv: getenv, Log: stdout, Handler: newHandler}.Run(ctx)
	}
	switch args[0] {
	case "check":
		return check(ctx, args[1:], stdout, stderr)
	case "migrate":
		return migrate(args[1:], getenv, stdout, stderr)
	default:
		fmt.Fprintf(stderr, "frontend: unknown argument %q\n%s", args[0], usage)
		return serving.ExitUsage
	}
}

func newHandler(c serving.Context) http.Handler {
	return newSite(newBackend(
		c.Env.URL("BACKEND_URL", "http://localhost:8081"),
		c.Env.Text("BACKEND_TOKEN", ""),
		c.Env.Duration("BACKEND_TIMEOUT", 5*time.Second),
	), c.Faults, c.Identity)
}
