package git

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

const branches = "refs/heads/"

// pipeline is what a CI system says of the commit that it builds. Refs are full names.
type pipeline struct {
	ref, into, before string
	pullRequest       bool
}

// pipelineOf reads the environment of GitHub Actions or Azure Pipelines; it is empty outside of them, and for work trees that are not
// those which they have checked out.
func pipelineOf(environ []string, top string) (pipeline, error) {
	env := map[string]string{}
	for _, v := range environ {
		name, value, _ := strings.Cut(v, "=")
		env[name] = value
	}
	switch {
	case env["GITHUB_ACTIONS"] == "true" && within(env["GITHUB_WORKSPACE"], top):
		return github(env)
	case strings.EqualFold(env["TF_BUILD"], "true") && within(env["BUILD_SOURCESDIRECTORY"], top):
		return azure(env), nil
	}
	return pipeline{}, nil
}

// github reads what GitHub Actions says. A merge queue checks what it would merge, as a pull request does.
func github(env map[string]string) (pipeline, error) {
	p := pipeline{ref: env["GITHUB_REF"]}
	switch env["GITHUB_EVENT_NAME"] {
	case "push":
		payload, err := readPayload(env["GITHUB_EVENT_PATH"])
		if err != nil {
			return p, err
		}
		// Zeros stand for a branch that was not there before.
		if strings.Trim(payload.Before, "0") != "" {
			p.before = payload.Before
		}
	case "merge_group":
		payload, err := readPayload(env["GITHUB_EVENT_PATH"])
		if err != nil {
			return p, err
		}
		p.pullRequest, p.into = true, full(payload.MergeGroup.BaseRef)
	}
	if base := env["GITHUB_BASE_REF"]; base != "" {
		p.pullRequest, p.into = true, full(base)
	}
	return p, nil
}

// payload is what the event's file says beyond the environment.
type payload struct {
	Before     string `json:"before"`
	MergeGroup struct {
		BaseRef string `json:"base_ref"`
	} `json:"merge_group"`
}

// readPayload reads the event's file; where there is none it says nothing.
func readPayload(path string) (payload, error) {
	var p payload
	if path == "" {
		return p, nil
	}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return p, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &p)
	}
	if err != nil {
		return p, fmt.Errorf("the event of GitHub Actions in GITHUB_EVENT_PATH: %w", err)
	}
	return p, nil
}

// azure reads what Azure Pipelines says. The target of a pull request at GitHub comes without refs/heads/.
func azure(env map[string]string) pipeline {
	p := pipeline{ref: env["BUILD_SOURCEBRANCH"]}
	if target := env["SYSTEM_PULLREQUEST_TARGETBRANCH"]; target != "" {
		p.pullRequest, p.into = true, full(target)
	}
	return p
}

// full is the full name of a branch.
func full(branch string) string {
	if branch == "" || strings.HasPrefix(branch, "refs/") {
		return branch
	}
	return branches + branch
}

// within says whether a work tree is the folder or lies below it. A CI system that names no folder means every one.
func within(folder, top string) bool {
	if folder == "" {
		return true
	}
	relative, err := filepath.Rel(real(folder), real(top))
	return err == nil && filepath.IsLocal(relative)
}

// real follows symbolic links as far as that is possible.
func real(path string) string {
	if followed, err := filepath.EvalSymlinks(path); err == nil {
		return followed
	}
	return path
}
