package arm

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/yaml"
)

// kubeconfig is one with a single user.
func (s *Server) kubeconfig(c Cluster, user map[string]any) []byte {
	text, err := yaml.Marshal(map[string]any{
		"apiVersion": "v1", "kind": "Config", "current-context": Name,
		"clusters": []any{map[string]any{"name": Name, "cluster": map[string]any{"server": c.Server, "certificate-authority-data": c.CA}}},
		"contexts": []any{map[string]any{"name": Name, "context": map[string]any{"cluster": Name, "user": "clusterUser"}}},
		"users":    []any{map[string]any{"name": "clusterUser", "user": user}},
	})
	if err != nil {
		s.t.Error(err)
	}
	return text
}

// credential is what listClusterUserCredential gives: for Entra ID a program to run, which nobody needs to.
func (s *Server) credential(w http.ResponseWriter) {
	s.mu.Lock()
	c := s.cluster
	s.mu.Unlock()
	user := map[string]any{"client-certificate-data": c.Certificate, "client-key-data": c.Key}
	if c.Entra {
		user = map[string]any{"exec": map[string]any{
			"apiVersion": "client.authentication.k8s.io/v1beta1", "command": "kubelogin", "provideClusterInfo": false,
			"args": []string{"get-token", "--environment", "AzurePublicCloud", "--server-id", ServerApplication, "--login", "devicecode"},
		}}
	}
	Answer(w, http.StatusOK, map[string]any{"kubeconfigs": []any{map[string]any{"name": "clusterUser", "value": s.kubeconfig(c, user)}}})
}

// start begins a command, as Azure does: its result is to be asked for elsewhere.
func (s *Server) start(w http.ResponseWriter, r *http.Request) {
	var request struct {
		Command      string `json:"command"`
		Context      string `json:"context"`
		ClusterToken string `json:"clusterToken"`
	}
	s.mu.Lock()
	c := s.cluster
	s.mu.Unlock()
	body, err := io.ReadAll(io.LimitReader(r.Body, 4<<20+1))
	switch {
	case err != nil:
		return
	case len(body) > 4<<20:
		Refuse(w, http.StatusRequestEntityTooLarge, "RequestEntityTooLarge", "The request content size exceeds the maximum size of 4 MB.")
		return
	case json.Unmarshal(body, &request) != nil || request.Command == "":
		Refuse(w, http.StatusBadRequest, "BadRequest", "Required parameter command is missing (null).")
		return
	case c.NoCommands:
		Refuse(w, http.StatusForbidden, "RunCommandDisabled", "Run command is disabled for this cluster.")
		return
	case c.Entra && request.ClusterToken == "":
		Refuse(w, http.StatusBadRequest, "BadRequest", "clusterToken is required for a cluster with managed Entra ID.")
		return
	}
	files, err := unpack(request.Context)
	if err != nil {
		Refuse(w, http.StatusBadRequest, "BadRequest", "context is no base64 encoded zip file.")
		return
	}
	run := &running{done: make(chan struct{}), Command: Command{Text: request.Command, Context: request.Context}}
	for name := range files {
		run.Files = append(run.Files, name)
	}
	slices.Sort(run.Files)
	s.mu.Lock()
	id := fmt.Sprintf("%032x", len(s.results)+1)
	s.results[id] = run
	s.mu.Unlock()
	go func() {
		defer close(run.done)
		execute := s.Run
		if execute == nil {
			execute = s.shell
		}
		logs, code := execute(request.Command, files, request.ClusterToken)
		if len(logs) > logLimit {
			logs = logs[:logLimit]
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		run.Logs, run.ExitCode = logs, code
		s.commands = append(s.commands, run.Command)
	}()
	w.Header().Set("Location", s.HTTP.URL+ID+"/commandResults/"+id+"?api-version="+apiVersion)
	w.WriteHeader(http.StatusAccepted)
}

func (s *Server) result(w http.ResponseWriter, r *http.Request, id string) {
	s.mu.Lock()
	run, ok := s.results[id]
	s.mu.Unlock()
	if !ok {
		Refuse(w, http.StatusNotFound, "NotFound", "Could not find command result with id "+id)
		return
	}
	select {
	case <-run.done:
	case <-time.After(100 * time.Millisecond):
	case <-r.Context().Done():
		return
	}
	s.mu.Lock()
	run.asked++
	still := run.asked <= s.Slow
	s.mu.Unlock()
	select {
	case <-run.done:
		if !still {
			// The documented quirk: the status may be 202 though the body has the result.
			Answer(w, http.StatusAccepted, map[string]any{"id": id, "properties": map[string]any{
				"provisioningState": "Succeeded", "exitCode": run.ExitCode, "startedAt": "2026-01-01T00:00:00Z", "finishedAt": "2026-01-01T00:00:01Z", "logs": run.Logs,
			}})
			return
		}
	default:
	}
	w.Header().Set("Location", s.HTTP.URL+r.URL.RequestURI())
	Answer(w, http.StatusAccepted, map[string]any{"id": id, "properties": map[string]any{"provisioningState": "Running", "startedAt": "2026-01-01T00:00:00Z"}})
}

func unpack(text string) (map[string][]byte, error) {
	files := map[string][]byte{}
	if text == "" {
		return files, nil
	}
	data, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, err
	}
	archive, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return nil, err
	}
	for _, file := range archive.File {
		r, err := file.Open()
		if err != nil {
			return nil, err
		}
		content, err := io.ReadAll(r)
		if err != nil {
			return nil, err
		}
		files[file.Name] = content
	}
	return files, nil
}

// shell runs a command as the pod does: in a folder of its own with the files beside it, and a kubeconfig that signs in with the token.
func (s *Server) shell(text string, files map[string][]byte, token string) (string, int) {
	dir, err := os.MkdirTemp("", "aks-command")
	if err != nil {
		return err.Error(), 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	work := filepath.Join(dir, "work")
	s.mu.Lock()
	c := s.cluster
	s.mu.Unlock()
	user := map[string]any{"token": token}
	if !c.Entra {
		user = map[string]any{"client-certificate-data": c.Certificate, "client-key-data": c.Key}
	}
	if c.Inside != "" {
		c.Server = c.Inside
	}
	put := map[string][]byte{filepath.Join(dir, "kubeconfig"): s.kubeconfig(c, user)}
	for name, content := range files {
		put[filepath.Join(work, filepath.Clean("/"+name))] = content
	}
	for path, content := range put {
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, content, 0o600)); err != nil {
			return err.Error(), 1
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", text)
	path := s.Path
	if path == "" {
		path = os.Getenv("PATH")
	}
	cmd.Dir, cmd.Env = work, []string{"PATH=" + path, "HOME=" + dir, "KUBECONFIG=" + filepath.Join(dir, "kubeconfig")}
	cmd.WaitDelay = time.Second // what the command left running
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	switch {
	case err == nil, errors.Is(err, exec.ErrWaitDelay):
		return string(out), 0
	case errors.As(err, &exit):
		return string(out), exit.ExitCode()
	}
	return strings.TrimSpace(string(out) + "\n" + err.Error()), 127
}
