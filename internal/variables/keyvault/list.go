package keyvault

import (
	"context"
	"slices"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azsecrets"

	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/variables"
)

// list finds one version of a secret among those that the vault lists, which tells of each what a secret is except what it contains.
func (s *Store) list(ctx context.Context, name, version string) (variables.Variable, error) {
	all, err := s.versions(ctx, name)
	if err != nil {
		return variables.Variable{}, err
	}
	if len(all) == 0 {
		return variables.Variable{}, s.missing(name)
	}
	found := all[0]
	at := slices.IndexFunc(all, func(p *azsecrets.SecretProperties) bool {
		return version == "" && (p.Attributes.Enabled == nil || *p.Attributes.Enabled) || p.ID.Version() == version
	})
	switch {
	case at >= 0:
		found = all[at]
	case version != "":
		return variables.Variable{}, s.gone(name, version)
	}
	v := variables.Variable{Name: name, Version: found.ID.Version()}
	if found.Attributes.Expires != nil {
		v.Expires = *found.Attributes.Expires
	}
	return v, s.usable(name, v.Version, found.Attributes)
}

// versions are those of a secret, the newest first.
func (s *Store) versions(ctx context.Context, name string) ([]*azsecrets.SecretProperties, error) {
	var all []*azsecrets.SecretProperties
	pages := s.client.NewListSecretPropertiesVersionsPager(name, nil)
	for pages.More() {
		err := variables.Patiently(ctx, s.o.Clock, func(ctx context.Context) error {
			inner, cancel := context.WithTimeout(ctx, s.o.AnswerTime)
			defer cancel()
			page, err := pages.NextPage(inner)
			if err != nil {
				return s.failure(err, toList(), name, "")
			}
			all = append(all, page.Value...)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	for _, p := range all {
		if p == nil || p.ID == nil || p.ID.Version() == "" || p.Attributes == nil {
			return nil, s.stranger()
		}
	}
	// The vault gives them in the order of their names, which are random.
	slices.SortStableFunc(all, func(a, b *azsecrets.SecretProperties) int { return made(b).Compare(made(a)) })
	return all, nil
}

func made(p *azsecrets.SecretProperties) time.Time {
	if p.Attributes.Created == nil {
		return time.Time{}
	}
	return *p.Attributes.Created
}

func (s *Store) missing(name string) error {
	return fault.New(fault.NotFound, "", "there is no secret %s", name).
		WithHint("put it there: az keyvault secret set --vault-name %s --name %s --file FILE; one that was deleted comes back with az keyvault secret recover --vault-name %s --name %s", s.name, name, s.name, name)
}
