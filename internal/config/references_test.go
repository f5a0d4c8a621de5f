package config_test

import (
	"testing"

	"github.com/sluice-dev/sluice/internal/config"
)

func TestProblemsOfReferences(t *testing.T) {
	const (
		referred = "    variables: {A: {as: reference}}\n    variableValues: {referenceName: s}\n"
		good     = "    variables: {keyVault: my-vault}\n    references: {externalSecrets: {store: s}}\n"
		reads    = "    references: {externalSecrets: {store: s}}\n"
		taker    = "services.calculator.variables.A is a reference, and "
		stores   = "keep the variables in a Key Vault or in version 2 of Vault's engine, or take the variable as secret"
	)
	for name, c := range map[string]struct {
		service, dev, prod string
		want               []string
	}{
		"all is well": {referred, good, good, nil},
		"two Secrets": {"    variables: {A: {as: reference}, B: {}}\n    variableValues: {referenceName: s, secretName: t}\n", good, good, nil},
		"nothing reads": {referred, "    variables: {keyVault: my-vault}\n", good, []string{
			"14:3: environments.dev: " + taker + "nothing says what reads it in the cluster of dev; add `references: {externalSecrets: {store: NAME}}` with the name of a SecretStore in the cluster, or take the variable as secret"}},
		"nothing is read": {oneSecret, good, inSOPS, []string{
			"24:5: environments.dev.references: no service takes a variable as reference: there is nothing for the cluster to read; remove it, or take a variable `as: reference`"}},
		"no reader": {referred, "    variables: {keyVault: my-vault}\n    references: {}\n", good, []string{
			"24:5: environments.dev.references: needs the key externalSecrets"}},
		"no store": {referred, "    variables: {keyVault: my-vault}\n    references: {externalSecrets: {}}\n", good, []string{
			"24:18: environments.dev.references.externalSecrets.store: is missing"}},
		"no such kind": {referred, "    variables: {keyVault: my-vault}\n    references: {externalSecrets: {store: A_b, kind: SecretStor}}\n", good, []string{
			"24:43: environments.dev.references.externalSecrets.store: \"A_b\" is no name of a SecretStore: lower-case letters, digits, hyphens and dots are allowed; `kubectl get secretstores,clustersecretstores` lists them",
			`24:54: environments.dev.references.externalSecrets.kind: "SecretStor" is no way of the External Secrets operator to a store; did you mean "SecretStore"?`}},
		"a file": {referred, inSOPS + reads, good, []string{
			"23:23: environments.dev.variables.sops: " + taker + "the cluster cannot read a file of the project; " + stores}},
		"a Secret": {referred, "    variables: {kubernetes: {secret: a}}\n" + reads, good, []string{
			"23:17: environments.dev.variables.kubernetes: " + taker + "a Kubernetes Secret has no versions that could be referred to; " + stores + "; a chart can name a Secret that is in the cluster itself"}},
		"an engine without versions": {referred, "    variables: {vault: {address: 'https://v', path: a, version: 1, mount: m}}\n" + reads, good, []string{
			"23:65: environments.dev.variables.vault.version: " + taker + "version 1 of the engine has no versions that could be referred to; " + stores + ": vault kv enable-versioning m"}},
		"the chart is not told": {"    variables: {A: {as: reference}, B: {}}\n    variableValues: {secretName: s}\n", good, good, []string{
			"11:5: services.calculator.variables: nothing tells the chart which Secret holds those that come as reference: its name changes with what it holds; add `variableValues: {referenceName: PATH}`, with the path in the chart's values that takes the name"}},
		"one place for two Secrets": {"    variables: {A: {as: reference}, B: {}}\n    variableValues: {secretName: s, referenceName: s}\n", good, good, []string{
			"12:52: services.calculator.variableValues.referenceName: s would be written twice: services.calculator.variableValues.secretName takes s; give each its own place"}},
		"one key in two Secrets": {"    variables: {A: {as: reference}, B: {key: A}}\n    variableValues: {secretName: s, referenceName: t}\n", good, good, []string{
			"11:46: services.calculator.variables.B.key: A is the key of A too; give one of them another key"}},
		"a reference's name without one": {"    variables: {B: {}}\n    variableValues: {secretName: s, referenceName: t}\n", inSOPS, inSOPS, []string{
			"12:37: services.calculator.variableValues.referenceName: there is no Secret to be named: no variable comes as reference; remove it"}},
		"a value too": {"    variables: {A: {as: reference}, B: {as: value, key: b, name: A}}\n    variableValues: {referenceName: s}\n", good, good, []string{
			"11:45: services.calculator.variables.B.as: A is a secret by services.calculator.variables.A, and Helm would keep it in clear text; take it as a secret here too"}},
	} {
		t.Run(name, func(t *testing.T) {
			path := withVariables(t, c.service, c.dev, c.prod)
			_, err := config.Load(path, getenv)
			if c.want == nil {
				if err != nil {
					t.Error(err)
				}
				return
			}
			compareProblems(t, path, err, c.want)
		})
	}
}
