// Command app is the service that the end-to-end tests release: small, honest, and breakable on purpose by its environment.
package main

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// slowness is how long late answers take: more than the limit of 300 ms at which Traefik counts.
const slowness = 350 * time.Millisecond

func main() {
	if len(os.Args) > 1 {
		os.Exit(command(os.Args[1], os.Args[2:]))
	}
	if os.Getenv("CRASH") != "" {
		fmt.Fprintln(os.Stderr, "fatal: cannot read the flux capacitor")
		os.Exit(1)
	}
	if os.Getenv("LEAK") == "crash" {
		leak(os.Stderr)
		os.Exit(1)
	}
	eat(os.Getenv("EAT_MIB"))
	var ready atomic.Bool
	ready.Store(os.Getenv("NEVER_READY") == "")
	server := &http.Server{Addr: ":8080", Handler: routes(&ready)}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	go func() {
		<-ctx.Done()
		// Proxies learn late that this pod goes: keep serving until they have.
		ready.Store(false)
		time.Sleep(10 * time.Second)
		last, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		_ = server.Shutdown(last)
	}()
	if err := server.ListenAndServe(); err != http.ErrServerClosed {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	<-ctx.Done()
}

func routes(ready *atomic.Bool) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/readyz", func(w http.ResponseWriter, _ *http.Request) {
		if !ready.Load() {
			http.Error(w, "not ready", http.StatusServiceUnavailable)
		}
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		if os.Getenv("FAIL") != "" {
			http.Error(w, "broken on purpose", http.StatusInternalServerError)
			return
		}
		status := http.StatusOK
		if os.Getenv("LEAK") == "body" {
			leak(w)
			return
		}
		answer := map[string]any{"answer": 42}
		if os.Getenv("WRONG_BODY") != "" {
			answer["answer"] = 41
		}
		if os.Getenv("SAY_VERSION") != "" {
			answer["version"] = os.Getenv("VERSION")
		}
		if password := os.Getenv("DB_PASSWORD"); password != "" {
			// What it knows, without telling it.
			answer["knows"] = fmt.Sprintf("%x", sha256.Sum256([]byte(password)))
		}
		// A share of the answers fails, a share is late, and each says so.
		if hit("FAIL_SHARE") {
			fmt.Fprintln(os.Stderr, "error: the improbability drive has failed")
			status, answer["failed"] = http.StatusInternalServerError, true
		}
		if hit("SLOW_SHARE") {
			answer["slow"] = true
			time.Sleep(slowness)
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(answer)
	})
	return mux
}

// hit is true for the share of its calls that a variable names.
func hit(variable string) bool {
	share, _ := strconv.ParseFloat(os.Getenv(variable), 64)
	return rand.Float64() < share
}

// eat allocates and touches memory until the kernel objects.
func eat(mib string) {
	n, _ := strconv.Atoi(mib)
	var kept [][]byte
	for range n {
		block := make([]byte, 1<<20)
		for i := range block {
			block[i] = 1
		}
		kept = append(kept, block)
	}
	_ = kept
}

// leak tells the password in all the ways in which careless programs do, and so long that whoever quotes it must cut it.
func leak(w io.Writer) {
	password := os.Getenv("DB_PASSWORD")
	quoted, _ := json.Marshal(map[string]string{"password": password})
	fmt.Fprintf(w, "%s\n%s\n%q\n", password, quoted, password)
	fmt.Fprintln(w, base64.StdEncoding.EncodeToString([]byte("user:"+password+"@host")), base64.URLEncoding.EncodeToString([]byte(password)))
	fmt.Fprintln(w, url.QueryEscape(password), url.PathEscape(password), hex.EncodeToString([]byte(password)), html.EscapeString(password))
	line := strings.ReplaceAll(password, "\n", " ")
	fmt.Fprintln(w, "FATAL: no login with", password, strings.Repeat(strings.Split(password, "\n")[0]+",", 3000/len(line)))
}

// command runs hooks: `exit N`, `leak` and `get URL`.
func command(name string, args []string) int {
	switch name {
	case "leak":
		leak(os.Stdout)
		return 1
	case "exit":
		code, _ := strconv.Atoi(args[0])
		fmt.Println("migration: exit", code)
		return code
	case "get":
		resp, err := http.Get(args[0])
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer resp.Body.Close()
		fmt.Println(resp.Status)
		if resp.StatusCode != http.StatusOK {
			return 1
		}
		return 0
	case "stream":
		return stream(args[0])
	}
	fmt.Fprintln(os.Stderr, "unknown command", name)
	return 2
}

// stream calls a URL 20 times a second until it is terminated, then prints how many calls failed: what a caller inside the cluster sees.
func stream(url string) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	client := &http.Client{Timeout: 10 * time.Second}
	requests, failed := 0, 0
	for tick := time.NewTicker(50 * time.Millisecond); ctx.Err() == nil; <-tick.C {
		requests++
		resp, err := client.Get(url)
		if err != nil {
			failed++
			fmt.Println("failed:", err)
			continue
		}
		if resp.StatusCode != http.StatusOK {
			failed++
			fmt.Println("failed:", resp.Status)
		}
		resp.Body.Close()
		fmt.Printf("requests=%d failed=%d\n", requests, failed)
	}
	return 0
}
