// Command registry keeps the local cluster's images, charts and release artifacts on disk. It is the distribution
// project's registry with the filesystem driver. It must not listen beyond loopback: it asks nobody who they are.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/distribution/distribution/v3/configuration"
	"github.com/distribution/distribution/v3/registry/handlers"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/filesystem"
	"github.com/sirupsen/logrus"
)

func main() {
	address := flag.String("listen", "", "loopback address and port, for example 127.0.0.1:5000")
	dir := flag.String("data-dir", "", "folder of blobs and manifests")
	flag.Parse()
	if err := serve(*address, *dir); err != nil {
		fmt.Fprintln(os.Stderr, "registry:", err)
		os.Exit(1)
	}
}

func serve(address, dir string) error {
	logrus.SetLevel(logrus.WarnLevel)
	config := &configuration.Configuration{Storage: configuration.Storage{
		"filesystem": {"rootdirectory": dir},
		"delete":     {"enabled": true},
	}}
	config.HTTP.Addr = address
	config.HTTP.Secret = "one process serves every upload"
	config.Catalog.MaxEntries = 1000

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	app := handlers.NewApp(ctx, config)
	server := &http.Server{Addr: address, Handler: app, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		<-ctx.Done()
		_ = server.Close()
	}()
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve on %s: %w", address, err)
	}
	return nil
}
