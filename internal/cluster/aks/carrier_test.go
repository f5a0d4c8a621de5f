package aks_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/cluster"
	"github.com/sluice-dev/sluice/internal/fault"
)

const canary = "c4nary-0123456789"

func b64(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }

// everything are the programs of the image that are promised, and those that every image with a shell has.
func everything() []string { return []string{"bash", "cat", "wc", "sleep", "gzip", "kubectl", "helm"} }

// echo answers with what it got, and with the status that is asked for.
func echo(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	status := http.StatusOK
	if _, err := fmt.Sscan(r.URL.Query().Get("status"), &status); err != nil {
		status = http.StatusOK
	}
	w.Header().Set("Content-Type", r.Header.Get("Content-Type"))
	w.Header().Set("X-Method", r.Method)
	w.Header().Set("X-Query", r.URL.RawQuery)
	w.Header().Set("X-Authorization", r.Header.Get("Authorization"))
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

func newCarried(t *testing.T, api http.HandlerFunc, programs []string) (*world, *cluster.Access) {
	t.Helper()
	w := newWorld(t, api)
	w.spec.RunCommand = v1alpha1.RunCommandAlways
	w.Path = image(t, programs...)
	access, err := w.finder(t).Find(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return w, access
}

func send(ctx context.Context, access *cluster.Access, method, path, kind string, body []byte) (*http.Response, []byte, error) {
	r, err := http.NewRequestWithContext(ctx, method, access.Server+path, bytes.NewReader(body))
	if err != nil {
		return nil, nil, err
	}
	r.Header.Set("Content-Type", kind)
	r.Header.Set("Authorization", "Bearer of-somebody-else")
	response, err := access.Transport.RoundTrip(r)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = response.Body.Close() }()
	got, err := io.ReadAll(response.Body)
	return response, got, err
}

func get(ctx context.Context, access *cluster.Access, path string) ([]byte, error) {
	_, body, err := send(ctx, access, http.MethodGet, path, "", nil)
	return body, err
}

// What goes to the API server and comes back is what it would be over the network, whatever it is.
func TestCarriedWhole(t *testing.T) {
	random := make([]byte, 100<<10)
	rand.New(rand.NewSource(1)).Read(random)
	for name, programs := range map[string][]string{
		"all":          everything(),
		"without gzip": slices.DeleteFunc(everything(), func(p string) bool { return p == "gzip" }),
	} {
		t.Run(name, func(t *testing.T) {
			w, access := newCarried(t, echo, programs)
			for _, c := range []struct {
				method, path, kind string
				body               []byte
				status             int
			}{
				{"GET", "/api/v1/namespaces/shop?limit=500&labelSelector=a%3Db%2Cc", "", nil, 200},
				{"POST", "/api/v1/namespaces/shop/secrets", "application/json", []byte(`{"data":{"a":"` + canary + `"}}` + "\r\n\n"), 200},
				{"PUT", "/apis/apps/v1/namespaces/shop/deployments/a?status=409", "application/json", []byte("ü \x00 '\"$(id)`"), 409},
				{"PATCH", "/api/v1/namespaces/shop/services/a?fieldManager=sluice&force=true", "application/apply-patch+yaml", random, 200},
				{"DELETE", "/api/v1/namespaces/shop/services/a?status=404", "application/vnd.kubernetes.protobuf", []byte("k8s\x00\n"), 404},
			} {
				response, got, err := send(t.Context(), access, c.method, c.path, c.kind, c.body)
				if err != nil {
					t.Fatal(err)
				}
				_, query, _ := strings.Cut(c.path, "?")
				if response.StatusCode != c.status || !bytes.Equal(got, c.body) || response.Header.Get("X-Method") != c.method ||
					response.Header.Get("X-Query") != query || response.Header.Get("Content-Type") != c.kind {
					t.Errorf("%s %s: %d, %d bytes of %d, %v", c.method, c.path, response.StatusCode, len(got), len(c.body), response.Header)
				}
				if who := response.Header.Get("X-Authorization"); who != "Bearer "+clusterToken {
					t.Errorf("it was sent as %q", who)
				}
			}
			// Azure keeps commands and their logs, and pods' logs are collected.
			for _, command := range w.Commands() {
				for _, secret := range []string{canary, b64(canary), clusterToken} {
					if strings.Contains(command.Text, secret) || strings.Contains(command.Logs, secret) {
						t.Errorf("%s is in the command %q or its log %q", secret, command.Text, command.Logs)
					}
				}
			}
			if n := len(w.Commands()); n != 5 {
				t.Errorf("%d commands were run for 5 requests, one after the other", n)
			}
		})
	}
}

// Requests that wait at the same time go together, and one that fails does not fail the others.
func TestCarriedTogether(t *testing.T) {
	w, access := newCarried(t, echo, everything())
	w.Slow = 1
	var wait sync.WaitGroup
	for i := range 60 {
		wait.Go(func() {
			status := 200
			if i%7 == 0 {
				status = 422
			}
			want := []byte(strings.Repeat(fmt.Sprint(i), 1000))
			response, got, err := send(t.Context(), access, "POST", fmt.Sprintf("/a/%d?status=%d", i, status), "text/plain", want)
			if err != nil || response.StatusCode != status || !bytes.Equal(got, want) {
				t.Errorf("request %d: %v, %v", i, response, err)
			}
		})
	}
	wait.Wait()
	if n := len(w.Commands()); n > 20 {
		t.Errorf("60 requests took %d commands", n)
	}
}

func TestAnswersThatDoNotFit(t *testing.T) {
	random := make([]byte, 1<<20)
	rand.New(rand.NewSource(1)).Read(random)
	var mu sync.Mutex
	posts := 0
	w, access := newCarried(t, func(w http.ResponseWriter, r *http.Request) {
		size := 0
		_, _ = fmt.Sscan(r.URL.Query().Get("size"), &size)
		if r.Method == http.MethodPost {
			mu.Lock()
			posts++
			mu.Unlock()
		}
		_, _ = w.Write(random[:size])
	}, everything())
	if _, err := get(t.Context(), access, "/a?size=500000"); !fault.Is(err, fault.Fatal) || !strings.Contains(err.Error(), "and the run-command API gives out 375808 at most") {
		t.Errorf("a large answer is %v", err)
	}
	_, _, err := send(t.Context(), access, "POST", "/a?size=500000", "", nil)
	if !fault.Is(err, fault.Fatal) || !strings.Contains(fault.HintOf(err), "it was done") || posts != 1 {
		t.Errorf("a large answer to a write is %v, after %d", err, posts)
	}
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			if got, err := get(t.Context(), access, "/a?size=200000"); err != nil || !bytes.Equal(got, random[:200000]) {
				t.Errorf("one of several: %d bytes, %v", len(got), err)
			}
		})
	}
	wait.Wait()
	for _, command := range w.Commands() {
		if len(command.Logs) >= 512*1000 {
			t.Errorf("a log has %d bytes", len(command.Logs))
		}
	}
}

func TestNotCarried(t *testing.T) {
	w, access := newCarried(t, echo, everything())
	for path, header := range map[string]string{"/api/v1/pods?watch=true": "", "/api/v1/pods/a/log?follow=1": "", "/api/v1/pods/a/exec": "SPDY/3.1"} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, access.Server+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if header != "" {
			r.Header.Set("Upgrade", header)
		}
		response, err := access.Transport.RoundTrip(r)
		if err == nil {
			_ = response.Body.Close()
		}
		if !fault.Is(err, fault.Fatal) || !strings.Contains(err.Error(), "cannot be carried") {
			t.Errorf("%s: %v", path, err)
		}
	}
	if len(w.Commands()) > 0 {
		t.Error("a command was run")
	}
	if _, err := get(t.Context(), access, "/api/v1/pods?watch=false"); err != nil {
		t.Error(err)
	}
}

func TestCommandsThatFail(t *testing.T) {
	without := func(program string) []string {
		return slices.DeleteFunc(everything(), func(p string) bool { return p == program })
	}
	for name, c := range map[string]struct {
		programs []string
		run      func(string, map[string][]byte, string) (string, int)
		says     string
	}{
		"no helm":           {without("helm"), nil, "exit code 90: sluice: there is no helm here"},
		"no kubectl":        {without("kubectl"), nil, "exit code 90: sluice: there is no kubectl here"},
		"no bash":           {without("bash"), nil, "exit code 127: sh: "},
		"a log that is cut": {everything(), func(string, map[string][]byte, string) (string, int) { return "---\ndata: \"AAAA", 0 }, "the end of the command's log is missing"},
		"another's log": {everything(), func(_ string, files map[string][]byte, _ string) (string, int) {
			_, mark, _ := strings.Cut(string(files["answers/templates/answers.yaml"]), "end: ")
			return "data: \"" + b64(strings.Repeat("x", 64)) + "\"\nend: " + mark, 0
		}, "the command's log"},
	} {
		t.Run(name, func(t *testing.T) {
			w, access := newCarried(t, echo, c.programs)
			w.Run = c.run
			_, err := get(t.Context(), access, "/version")
			if !fault.Is(err, fault.Unreachable) || !strings.Contains(err.Error(), c.says) || !strings.Contains(fault.HintOf(err), "az aks command invoke") {
				t.Errorf("it failed with %v", err)
			}
		})
	}
}

// Whether a command whose answer got lost was run nobody knows: it is not sent again. One that was refused is.
func TestCommandsAreNotRepeated(t *testing.T) {
	for status, sent := range map[int]int{500: 1, 429: 4, 0: 1} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			w, access := newCarried(t, echo, everything())
			n := 0
			w.Fault(func(r *http.Request) http.HandlerFunc {
				if !strings.HasSuffix(r.URL.Path, "/runCommand") {
					return nil
				}
				n++
				return func(w http.ResponseWriter, _ *http.Request) {
					if status == 0 {
						panic(http.ErrAbortHandler)
					}
					w.WriteHeader(status)
				}
			})
			_, _, err := send(t.Context(), access, "POST", "/a", "", []byte("{}"))
			if !fault.Is(err, fault.Unreachable) || n != sent {
				t.Errorf("it was sent %d times: %v", n, err)
			}
		})
	}
}

func TestResultsThatDoNotCome(t *testing.T) {
	result := func(state string, more map[string]any) map[string]any {
		properties := map[string]any{"provisioningState": state}
		for k, v := range more {
			properties[k] = v
		}
		return map[string]any{"id": "1", "properties": properties}
	}
	for name, c := range map[string]struct {
		status   int
		body     any
		location string
		says     string
	}{
		"no room for the pod":    {200, result("Failed", map[string]any{"reason": "Failed to run command due to cluster perf issue"}), "", "Failed Failed to run command due to cluster perf issue"},
		"never":                  {202, result("Running", nil), "", "no result after 3m0s (Running)"},
		"gone":                   {404, map[string]any{"error": map[string]any{"code": "NotFound", "message": "no result"}}, "", "there is no cluster"},
		"a page":                 {200, "page", "", "not of the form that is documented"},
		"a result at a stranger": {202, nil, "https://evil.example/commandResults/1", "does not say where the result of a command will be"},
	} {
		t.Run(name, func(t *testing.T) {
			w, access := newCarried(t, echo, everything())
			w.Fault(func(r *http.Request) http.HandlerFunc {
				return func(answer http.ResponseWriter, _ *http.Request) {
					if strings.HasSuffix(r.URL.Path, "/runCommand") {
						if c.location == "" {
							c.location = w.HTTP.URL + strings.TrimSuffix(r.URL.Path, "/runCommand") + "/commandResults/1"
						}
						answer.Header().Set("Location", c.location)
						answer.WriteHeader(202)
						return
					}
					answer.WriteHeader(c.status)
					_ = json.NewEncoder(answer).Encode(c.body)
				}
			})
			_, err := get(t.Context(), access, "/version")
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("it failed with %v", err)
			}
		})
	}
}

// Who gives up waits no longer, and is not sent if it has not been yet.
func TestCarriedNoLonger(t *testing.T) {
	hold := make(chan struct{})
	w, access := newCarried(t, echo, everything())
	w.Run = func(string, map[string][]byte, string) (string, int) { <-hold; return "", 1 }
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := get(ctx, access, "/version"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("it failed with %v", err)
	}
	close(hold)
}
