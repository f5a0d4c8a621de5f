// Command server is the application of the tests: it answers with its mode and pod, or fails as its mode says.
package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	if len(os.Args) > 1 {
		task(os.Args[1])
	}
	mode := os.Getenv("MODE")
	switch mode {
	case "crash":
		fmt.Println("panic: the configuration is missing")
		os.Exit(3)
	case "oom":
		var all [][]byte
		for {
			b := make([]byte, 1<<20)
			for i := range b {
				b[i] = 1
			}
			all = append(all, b)
			_ = all
		}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) {
		if mode == "unready" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "mode=%s pod=%s\n", mode, os.Getenv("HOSTNAME"))
	})
	server := &http.Server{Addr: ":8080", Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	go func() {
		<-ctx.Done()
		time.Sleep(5 * time.Second) // until no proxy sends any more
		_ = server.Shutdown(context.Background())
	}()
	_ = server.ListenAndServe()
	time.Sleep(time.Second)
}

func task(name string) {
	switch name {
	case "succeed":
		fmt.Println("done")
		os.Exit(0)
	case "slow":
		time.Sleep(15 * time.Second)
		os.Exit(0)
	case "fail":
		fmt.Println("cannot migrate: column exists")
		os.Exit(5)
	}
}
