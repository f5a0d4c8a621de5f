package vault

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"

	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/variables"
)

// listing is where the API tells everything of a secret but its content.
func (s *Store) listing(path string) string { return s.at.Mount + "/metadata/" + path }

// described is what version 2 of the engine tells of a secret.
type described struct {
	Current  int64             `json:"current_version"`
	Versions map[string]state  `json:"versions"`
	Custom   map[string]string `json:"custom_metadata"`
}

// Versions asks for each secret once. Where several variables share a secret they share its versions too: what has become of one of them
// only the content would tell.
func (s *Store) Versions(ctx context.Context, queries []variables.Query) ([]variables.Variable, error) {
	if len(queries) == 0 {
		return nil, nil
	}
	if s.at.Version == 1 {
		return nil, variables.Failed(s, []error{fault.New(fault.Usage, "", "version 1 of the engine has no versions").
			WithHint("let it keep them: vault kv enable-versioning %s, and write `version: 2`", s.at.Mount)})
	}
	groups, errs := s.groups(queries)
	answers := make([]variables.Variable, len(queries))
	wanted := map[string][]int{} // queries by the secret that answers them
	var paths []string
	for _, g := range groups {
		if wanted[g.path] == nil {
			paths = append(paths, g.path)
		}
		wanted[g.path] = append(wanted[g.path], g.queries...)
	}
	failures := variables.Each(ctx, len(paths), func(ctx context.Context, i int) error {
		d, err := s.describe(ctx, paths[i])
		if err != nil {
			return err
		}
		for _, at := range wanted[paths[i]] {
			answers[at], errs[at] = s.choose(d, paths[i], queries[at])
		}
		return nil
	})
	for i, err := range failures {
		for _, at := range wanted[paths[i]] {
			if err != nil {
				errs[at] = err
			}
		}
	}
	if err := variables.Failed(s, variables.Problems(queries, errs)); err != nil {
		return nil, err
	}
	return answers, nil
}

func (s *Store) describe(ctx context.Context, path string) (described, error) {
	found, err := s.enquire(ctx, s.listing(path), nil)
	if errors.Is(err, errNothing) {
		return described{}, s.nothing(ctx, path)
	}
	if err != nil {
		return described{}, err
	}
	var d described
	if json.Unmarshal(found.Data, &d) != nil || d.Versions == nil {
		return described{}, s.stranger()
	}
	return d, nil
}

// choose takes the version that is asked for, or the current one.
func (s *Store) choose(d described, path string, q variables.Query) (variables.Variable, error) {
	version := q.Version
	if version == "" {
		version = strconv.FormatInt(d.Current, 10)
	}
	there, ok := d.Versions[version]
	switch {
	case !ok && q.Version == "": // its description is there, and none of its versions
		return variables.Variable{}, fault.New(fault.NotFound, "", "secret %s has no version", path).WithHint("put one there: %s KEY=@FILE", s.cli("put", path))
	case !ok:
		return variables.Variable{}, s.gone(path, version, "")
	}
	number, err := strconv.ParseInt(version, 10, 64)
	if err != nil {
		return variables.Variable{}, s.stranger()
	}
	expires, err := s.judge(path, number, there, d.Custom)
	return variables.Variable{Name: q.Name, Version: version, Expires: expires}, err
}
