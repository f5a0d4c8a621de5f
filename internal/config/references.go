package config

import (
	"slices"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// references checks that every cluster can read for itself what services want it to, and that none is told how for nothing.
func (v *validator) references(p *v1alpha1.Project) {
	taker := ""
	for _, service := range sorted(p.Services) {
		for _, name := range sorted(p.Services[service].Variables) {
			if taker == "" && p.Services[service].Variables[name].Referred() {
				taker = child(child(child("services", service), "variables"), name)
			}
		}
	}
	for _, name := range sorted(p.Environments) {
		path, e := child("environments", name), p.Environments[name]
		here := child(path, "references")
		if e.References != nil && e.References.ExternalSecrets != nil {
			v.externalSecrets(child(here, "externalSecrets"), *e.References.ExternalSecrets)
		}
		switch {
		case taker == "" && v.positions.has(here):
			v.reportKey(here, "remove it, or take a variable `as: reference`", "no service takes a variable as reference: there is nothing for the cluster to read")
		case taker == "":
		case !v.positions.has(here):
			v.reportKey(path, "add `references: {externalSecrets: {store: NAME}}` with the name of a SecretStore in the cluster, or take the variable as secret",
				"%s is a reference, and nothing says what reads it in the cluster of %s", taker, name)
		default:
			v.referable(child(path, "variables"), taker, e.Variables)
		}
	}
}

func (v *validator) externalSecrets(path string, s v1alpha1.ExternalSecrets) {
	if here := child(path, "store"); v.positions.has(here) && !v.matches(objectName, s.Store) {
		v.report(here, "`kubectl get secretstores,clustersecretstores` lists them", "%q is no name of a SecretStore: lower-case letters, digits, hyphens and dots are allowed", s.Store)
	}
	kinds := []string{v1alpha1.KindSecretStore, v1alpha1.KindClusterSecretStore}
	if here := child(path, "kind"); v.positions.has(here) && !slices.Contains(kinds, s.Kind) {
		v.report(here, didYouMean(s.Kind, kinds), "%q is no way of the External Secrets operator to a store", s.Kind)
	}
}

// referable checks that a cluster can read a store, in a version that is known without the content: else a secret that is renewed would
// change nothing, or the pods that run.
func (v *validator) referable(path, taker string, s *v1alpha1.VariableStore) {
	const cure = "keep the variables in a Key Vault or in version 2 of Vault's engine, or take the variable as secret"
	switch {
	case s == nil:
	case s.SOPS != "":
		v.report(child(path, "sops"), cure, "%s is a reference, and the cluster cannot read a file of the project", taker)
	case s.Kubernetes != nil:
		v.reportKey(child(path, "kubernetes"), cure+"; a chart can name a Secret that is in the cluster itself",
			"%s is a reference, and a Kubernetes Secret has no versions that could be referred to", taker)
	case s.Vault != nil && s.Vault.Version == 1:
		v.report(child(child(path, "vault"), "version"), cure+": vault kv enable-versioning "+s.Vault.Mount,
			"%s is a reference, and version 1 of the engine has no versions that could be referred to", taker)
	}
}
