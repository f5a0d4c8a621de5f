package release

import (
	"encoding/json"
	"fmt"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/fault"
)

// draft is the release as far as sluice.yaml says it, where that holds no secret.
func (m *Maker) draft(req MakeRequest) (v1alpha1.Release, error) {
	rel, err := draft(req)
	if err == nil {
		err = m.clean(rel)
	}
	return rel, err
}

// clean refuses a release that sluice.yaml has put a secret into, by ${NAME} for example: everybody who may pull it would read it, and
// what is released cannot be taken back.
func (m *Maker) clean(rel v1alpha1.Release) error {
	if m.Secret == nil {
		return nil
	}
	data, err := json.Marshal(map[string]any{"services": map[string]any{rel.Service: rel.Spec}, "environments": rel.Environments})
	if err != nil {
		return fault.Wrap(fault.Internal, "look for secrets", err)
	}
	var tree any
	if err := json.Unmarshal(data, &tree); err != nil {
		return fault.Wrap(fault.Internal, "look for secrets", err)
	}
	if place := m.secretIn("", tree); place != "" {
		return fault.New(fault.Usage, place, "holds a secret of this environment, and would make it part of the release").
			WithHint("give a build its secrets with secrets: of the image, and keep those of a running service in the cluster")
	}
	return nil
}

// secretIn is the place of the first text with a secret, "" where there is none.
func (m *Maker) secretIn(place string, node any) string {
	switch n := node.(type) {
	case string:
		if m.Secret(n) {
			return place
		}
	case []any:
		for i, inner := range n {
			if found := m.secretIn(fmt.Sprintf("%s[%d]", place, i), inner); found != "" {
				return found
			}
		}
	case map[string]any:
		for _, name := range keys(n) {
			inner := name
			if place != "" {
				inner = place + "." + name
			}
			if found := m.secretIn(inner, n[name]); found != "" {
				return found
			}
		}
	}
	return ""
}
