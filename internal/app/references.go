package app

import (
	"context"

	"k8s.io/client-go/dynamic"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/deploy"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/variables"
	"github.com/sluice-dev/sluice/internal/variables/externalsecrets"
	"github.com/sluice-dev/sluice/internal/variables/keyvault"
)

// referrer is what lets the cluster of an environment read variables.
func (a *App) referrer(objects dynamic.Interface, c *cluster, env v1alpha1.Environment) variables.Referrer {
	var way v1alpha1.ExternalSecrets
	if env.References != nil && env.References.ExternalSecrets != nil {
		way = *env.References.ExternalSecrets
	}
	return externalsecrets.New(objects, c.client, way, targetOf(env.Variables), clock{now: a.o.Now})
}

// targetOf is a store as the External Secrets operator speaks of it. Of Vault's address nothing is said: from within the cluster it is often
// another.
func targetOf(s *v1alpha1.VariableStore) externalsecrets.Target {
	switch {
	case s == nil:
	case s.KeyVault != "":
		return externalsecrets.Target{
			Provider: "azurekv", Settings: map[string]string{"vaultUrl": keyvault.URL(s.KeyVault)},
			Remote: func(name string) (string, string) { return keyvault.SecretName(name), "" },
		}
	case s.Vault != nil:
		v := *s.Vault
		return externalsecrets.Target{
			Provider: "vault", Settings: map[string]string{"path": v.Mount, "version": "v2", "namespace": v.Namespace},
			Remote: func(name string) (string, string) {
				if v.Key == "" {
					return v.Mount + "/" + v.Path, name
				}
				return v.Mount + "/" + v.Path + "/" + name, v.Key
			},
		}
	}
	return externalsecrets.Target{}
}

// lister asks the store of a release's environment for versions alone, once it is known that the cluster can read them.
func (s *supply) lister(ctx context.Context, release *v1alpha1.Release, environment string) (ask, error) {
	env := release.Environments[environment]
	if env.References == nil {
		return nil, fault.New(fault.Usage, "open the variables of environment "+environment, "nothing says what reads those that come as reference in its cluster").
			WithHint("name it in environments.%s.references, and build the release again", environment)
	}
	store, err := s.store(ctx, release, environment)
	if err != nil {
		return nil, err
	}
	list, ok := store.(variables.Lister)
	if !ok {
		return nil, fault.New(fault.Usage, "open the variables of environment "+environment, "%s has no versions that could be referred to", store).
			WithHint("take the variables as secret, or keep them in a Key Vault or in version 2 of Vault's engine")
	}
	place := variables.Place{Namespace: env.Namespace, Service: release.Service, Environment: environment}
	return list.Versions, s.referrer(release, environment).Ready(ctx, place)
}

// announce makes sure that the cluster can read what it is to read for itself, and tells the chart of a Secret that is not there yet.
func (s *supply) announce(ctx context.Context, req deploy.Request, settings map[string]string) error {
	if len(namesOf(req.Release.Spec.Variables, true)) == 0 {
		return nil
	}
	settings[req.Release.Spec.VariableValues.ReferenceName] = unnamed
	return s.referrer(req.Release, req.Environment).Ready(ctx, placeOf(req.Scope))
}

// refer lets the cluster read what only it may.
func (s *supply) refer(ctx context.Context, req deploy.Request, settings map[string]string) error {
	spec := req.Release.Spec
	var references []variables.Reference
	for _, name := range namesOf(spec.Variables, true) {
		v := spec.Variables[name]
		references = append(references, variables.Reference{Key: v.KeyOf(name), Name: v.StoreName(name), Version: req.Variables[name]})
	}
	if len(references) == 0 {
		return nil
	}
	name, err := s.referrer(req.Release, req.Environment).Refer(ctx, placeOf(req.Scope), req.DeployDigest, references)
	if err != nil {
		return err
	}
	settings[spec.VariableValues.ReferenceName] = name
	return nil
}

// unrefer removes what lets the cluster read what nothing needs any more. Where the environment no longer says what reads there may be
// something left of when it did, and no right to look.
func (p *Place) unrefer(ctx context.Context, digests []string) error {
	_, err := p.referrer.Collect(ctx, placeOf(p.Scope()), digests)
	if p.Environment.References == nil && fault.Is(err, fault.Unreachable) {
		return nil
	}
	return err
}
