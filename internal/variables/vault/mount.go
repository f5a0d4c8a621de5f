package vault

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"

	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/variables"
)

// place is where the API has a secret.
func (s *Store) place(path string) string {
	if s.at.Version == 1 {
		return s.at.Mount + "/" + path
	}
	return s.at.Mount + "/data/" + path
}

// nothing finds out why there is nothing where the secret should be: who may read a secret may also ask for what is mounted there.
func (s *Store) nothing(ctx context.Context, path string) error {
	var mount struct {
		Type    string `json:"type"`
		Options struct {
			Version string `json:"version"`
		} `json:"options"`
	}
	found, err := s.get(ctx, "sys/internal/ui/mounts/"+s.at.Mount, nil)
	switch {
	case fault.Is(err, fault.Unreachable) && statusOf(err) == http.StatusForbidden:
		return variables.Wide(fault.New(fault.NotFound, "", "nothing is mounted at %s%s", s.at.Mount, s.within()).
			WithHint("look for it: vault secrets list%s; and write it as `mount`", s.server()))
	case err != nil && !errors.Is(err, errNothing):
		return err
	case err != nil || json.Unmarshal(found.Data, &mount) != nil:
		mount.Type = "kv" // an older server: what it does not say is not concluded from
		mount.Options.Version = strconv.Itoa(s.at.Version)
	}
	version := cmp.Or(mount.Options.Version, "1")
	switch {
	case mount.Type != "kv" && mount.Type != "generic":
		return variables.Wide(fault.New(fault.Usage, "", "what is mounted at %s is an engine for %s, and none for keys and values", s.at.Mount, mount.Type).
			WithHint("look for it: vault secrets list%s; and write it as `mount`", s.server()))
	case version != strconv.Itoa(s.at.Version):
		return variables.Wide(fault.New(fault.Usage, "", "the engine at %s is of version %s, and not %d", s.at.Mount, version, s.at.Version).
			WithHint("write `version: %s`", version))
	}
	return fault.New(fault.NotFound, "", "there is no secret %s at %s%s", path, s.at.Mount, s.within()).
		WithHint("put it there: %s %s=@FILE", s.cli("put", path), cmp.Or(s.at.Key, "KEY"))
}
