package serving

import (
	"context"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"runtime"
	"time"

	"github.com/sluice-dev/sluice/examples/calculator/internal/api"
	"github.com/sluice-dev/sluice/examples/calculator/internal/chaos"
	"github.com/sluice-dev/sluice/examples/calculator/internal/env"
)

// Exit codes of a service.
const (
	ExitDone   = 0 // stopped by a signal, no request cut off
	ExitFailed = 1 // could not serve, or cut requests off, or crashed on purpose
	ExitUsage  = 2 // a setting or an argument is wrong
)

// Context is what a service's handler is made from.
type Context struct {
	Env      *env.Reader // problems noted here stop the program before it listens
	Faults   *chaos.Injector
	Identity *api.Identity // nil: do not tell the version
	Log      *slog.Logger
}

// Program is one service as a process.
type Program struct {
	Service string
	Getenv  func(string) string
	Log     io.Writer
	Handler func(Context) http.Handler
}

// Run serves until ctx ends and returns the exit code.
func (p Program) Run(ctx context.Context) int {
	log := slog.New(slog.NewJSONHandler(p.Log, nil)).With("service", p.Service)
	reader := env.NewReader(p.Getenv)
	hostname, err := os.Hostname()
	if err != nil {
		hostname = "" // the pod's name is for people only: an answer without it is still an answer
	}
	faults := &chaos.Injector{
		Faults: chaos.FromEnv(reader), Random: rand.Float64, After: time.After, Exit: os.Exit, Log: log,
	}
	settings := FromEnv(p.Service, hostname, reader)
	server := &Server{Settings: settings, NeverReady: faults.Faults.NeverReady, After: time.After, Log: log}
	handler := p.Handler(Context{Env: reader, Faults: faults, Identity: settings.Identity, Log: log})
	if err := reader.Err(); err != nil {
		log.Error("bad settings", "problems", err.Error())
		return ExitUsage
	}
	ballast := faults.Start(ctx)
	err = server.Run(ctx, handler)
	runtime.KeepAlive(ballast)
	if err != nil {
		log.Error("failed", "error", err.Error())
		return ExitFailed
	}
	return ExitDone
}
