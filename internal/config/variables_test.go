package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/config"
)

const encrypted = "A: ENC[AES256_GCM,data:eA==,iv:eA==,tag:eA==,type:str]\nsops:\n    age: []\n    lastmodified: \"2026-01-02T03:04:05Z\"\n    mac: ENC[AES256_GCM,data:eA==,iv:eA==,tag:eA==,type:str]\n"

// withVariables writes the small file with lines for the service (from line 11) and for both environments.
func withVariables(t *testing.T, service, dev, prod string) string {
	t.Helper()
	text := strings.Replace(small, "environments:\n", service+"environments:\n", 1)
	text = strings.Replace(text, "  prod:\n", dev+"  prod:\n", 1) + prod
	path := write(t, text)
	for name, content := range map[string]string{
		"a.enc.yaml": encrypted, "open.yaml": "A: b\nsops: {}\n", "a.json": `{"A":"b","sops":{"mac":"ENC[AES256_GCM,x]"}}`,
		"a.env": "A=b\nsops_mac=ENC[AES256_GCM,x]\n", "open.json": `{"A":"ENC[x]"}`, "open.env": "A=b\n", "ca.pem": "x",
	} {
		if err := os.WriteFile(filepath.Join(filepath.Dir(path), name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

const (
	oneSecret = "    variables: {DB_PASSWORD: {}}\n    variableValues: {secretName: config.secretName}\n"
	inSOPS    = "    variables: {sops: a.enc.yaml}\n"
)

func TestVariableDefaults(t *testing.T) {
	path := withVariables(t, "    variables:\n      DB_PASSWORD: {}\n      TOKEN: {as: reference, key: token, name: app/token, onRollback: current}\n      LOG_LEVEL: {as: value, key: log.level}\n    variableValues: {secretName: config.secretName, referenceName: config.tokens}\n",
		"    variables: {keyVault: my-vault}\n    references: {externalSecrets: {store: all, kind: ClusterSecretStore}}\n",
		"    references: {externalSecrets: {store: prod}}\n    variables: {vault: {address: 'https://v.example.com', path: app/prod, auth: {jwt: {role: ci, token: {env: ID_TOKEN}}}}}\n")
	f, err := config.Load(path, getenv)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]v1alpha1.Variable{
		"DB_PASSWORD": {As: "secret", Key: "DB_PASSWORD", Name: "DB_PASSWORD", OnRollback: "recorded"},
		"TOKEN":       {As: "reference", Key: "token", Name: "app/token", OnRollback: "current"},
		"LOG_LEVEL":   {As: "value", Key: "log.level", Name: "LOG_LEVEL", OnRollback: "recorded"},
	}
	if diff := cmp.Diff(want, f.Project.Services["calculator"].Variables); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	stores := map[string]*v1alpha1.VariableStore{
		"dev": {KeyVault: "my-vault"},
		"prod": {Vault: &v1alpha1.VaultStore{Address: "https://v.example.com", Mount: "secret", Path: "app/prod", Version: 2,
			Auth: &v1alpha1.VaultAuth{JWT: &v1alpha1.VaultJWT{Role: "ci", Mount: "jwt", Token: &v1alpha1.VaultCredential{Env: "ID_TOKEN"}}}}},
	}
	for name, store := range stores {
		if diff := cmp.Diff(store, f.Project.Environments[name].Variables); diff != "" {
			t.Errorf("%s (-want +got)\n%s", name, diff)
		}
	}
	for name, want := range map[string]v1alpha1.ExternalSecrets{"dev": {Store: "all", Kind: "ClusterSecretStore"}, "prod": {Store: "prod", Kind: "SecretStore"}} {
		if diff := cmp.Diff(&v1alpha1.References{ExternalSecrets: &want}, f.Project.Environments[name].References); diff != "" {
			t.Errorf("%s (-want +got)\n%s", name, diff)
		}
	}
}

func TestTheNamespaceOfASecretIsTheEnvironments(t *testing.T) {
	f, err := config.Load(withVariables(t, oneSecret, "    variables: {kubernetes: {secret: app}}\n", inSOPS), getenv)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&v1alpha1.SecretStore{Secret: "app", Namespace: "calculator-dev"}, f.Project.Environments["dev"].Variables.Kubernetes); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestEncryptedFilesAreAccepted(t *testing.T) {
	for _, name := range []string{"a.enc.yaml", "a.json", "a.env"} {
		if _, err := config.Load(withVariables(t, oneSecret, "    variables: {sops: "+name+"}\n", inSOPS), getenv); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestUnmadeFilesAreAcceptedByThatWhichMakesThem(t *testing.T) {
	path := withVariables(t, oneSecret, "    variables: {sops: env/dev.enc.yaml}\n", inSOPS)
	if _, err := config.LoadUnmade(path, getenv); err != nil {
		t.Error(err)
	}
	path = withVariables(t, oneSecret, "    variables: {sops: open.yaml}\n", inSOPS)
	if _, err := config.LoadUnmade(path, getenv); err == nil {
		t.Error("a file in clear text was accepted")
	}
}

func TestProblemsOfVariables(t *testing.T) {
	const lies = `; what it holds lies open: renew it, and let `
	for name, c := range map[string]struct {
		service, dev, prod string
		want               []string
	}{
		"no store": {oneSecret, "", inSOPS, []string{
			"14:3: environments.dev: the service calculator takes variables, and nothing says which store holds those of dev; name one, for example `variables: {sops: env/dev.enc.yaml}`, which `sluice variables init` makes"}},
		"no store at all": {"", "    variables: {}\n", "", []string{
			"21:5: environments.dev.variables: needs exactly one of sops, keyVault, vault, kubernetes"}},
		"two stores": {"", "    variables: {sops: a.enc.yaml, keyVault: my-vault}\n", "", []string{
			"21:35: environments.dev.variables: has sops and keyVault, and needs exactly one of them; remove all but one"}},
		"a store with a typing error": {"", "    variables: {sop: a.enc.yaml}\n", "", []string{
			`21:5: environments.dev.variables: needs exactly one of sops, keyVault, vault, kubernetes`,
			`21:17: environments.dev.variables.sop: unknown key; did you mean "sops"?`}},
		"a way with a typing error": {"    variables: {A: {as: refernce}}\n    variableValues: {secretName: s}\n", inSOPS, inSOPS, []string{
			`11:25: services.calculator.variables.A.as: "refernce" is no way for a variable to the service; did you mean "reference"?`}},
		"an answer with a typing error": {"    variables: {A: {onRollback: curent}}\n    variableValues: {secretName: s}\n", inSOPS, inSOPS, []string{
			`11:33: services.calculator.variables.A.onRollback: "curent" does not say which version an earlier release gets; did you mean "current"?`}},
		"a name that is none": {"    variables: {'A B': {}}\n    variableValues: {secretName: s}\n", inSOPS, inSOPS, []string{
			`11:17: services.calculator.variables["A B"]: "A B" is no name of a variable; letters, digits, -, _ and . are allowed`}},
		"a name in the store that is none": {"    variables: {A: {name: 'a b'}}\n    variableValues: {secretName: s}\n", inSOPS, inSOPS, []string{
			`11:27: services.calculator.variables.A.name: "a b" is no name in a store; letters, digits, -, _, . and / are allowed`}},
		"a key that is none": {"    variables: {A: {key: a/b}}\n    variableValues: {secretName: s}\n", inSOPS, inSOPS, []string{
			`11:26: services.calculator.variables.A.key: "a/b" is no key of a Kubernetes Secret; letters, digits, -, _ and . are allowed`}},
		"a value without a key": {"    variables: {A: {as: value}}\n", inSOPS, inSOPS, []string{
			"11:20: services.calculator.variables.A: as a value it needs a key; add `key: PATH`, with the path in the chart's values that takes it"}},
		"a value that goes nowhere": {"    variables: {A: {as: value, key: 'a..b'}}\n", inSOPS, inSOPS, []string{
			`11:37: services.calculator.variables.A.key: "a..b" is no path in a chart's values such as log.level`}},
		"one key twice": {"    variables: {A: {}, B: {key: A}}\n    variableValues: {secretName: s}\n", inSOPS, inSOPS, []string{
			"11:33: services.calculator.variables.B.key: A is the key of A too; give one of them another key"}},
		"one place twice": {"    variables: {A: {as: value, key: log.level}, B: {as: value, key: log}}\n", inSOPS, inSOPS, []string{
			"11:69: services.calculator.variables.B.key: log would be written twice: services.calculator.variables.A takes log.level; give each its own place"}},
		"the place of an image": {"    variables: {A: {as: value, key: images.frontend}}\n", inSOPS, inSOPS, []string{
			"11:37: services.calculator.variables.A.key: images.frontend would be written twice: services.calculator.imageValues.frontend takes images.frontend; give each its own place"}},
		"a secret's name in the place of a value": {"    variables: {A: {as: value, key: s}, B: {}}\n    variableValues: {secretName: s}\n", inSOPS, inSOPS, []string{
			"12:34: services.calculator.variableValues.secretName: s would be written twice: services.calculator.variables.A takes s; give each its own place"}},
		"a secret that nobody finds": {"    variables: {A: {}}\n", inSOPS, inSOPS, []string{
			"11:5: services.calculator.variables: nothing tells the chart which Secret holds those that come as secret: its name changes with what it holds; add `variableValues: {secretName: PATH}`, with the path in the chart's values that takes the name"}},
		"a secret's name without a secret": {"    variables: {A: {as: value, key: a}}\n    variableValues: {secretName: s}\n", inSOPS, inSOPS, []string{
			"12:22: services.calculator.variableValues.secretName: there is no Secret to be named: no variable comes as secret; remove it"}},
		"a secret as a value": {"    variables: {A: {}, B: {as: value, key: b, name: A}}\n    variableValues: {secretName: s}\n", inSOPS, inSOPS, []string{
			"11:32: services.calculator.variables.B.as: A is a secret by services.calculator.variables.A, and Helm would keep it in clear text; take it as a secret here too"}},
		"no such file": {oneSecret, "    variables: {sops: env/dev.enc.yaml}\n", inSOPS, []string{
			"23:23: environments.dev.variables.sops: there is no file \"env/dev.enc.yaml\" in the folder of sluice.yaml; `sluice variables init` makes it"}},
		"a file elsewhere": {oneSecret, "    variables: {sops: ../a.yaml}\n", inSOPS, []string{
			`23:23: environments.dev.variables.sops: "../a.yaml" lies outside of the folder of sluice.yaml; move it there`}},
		"an absolute path": {oneSecret, "    variables: {sops: /a.yaml}\n", inSOPS, []string{
			`23:23: environments.dev.variables.sops: "/a.yaml" is no path relative to the folder of sluice.yaml`}},
		"another kind of file": {oneSecret, "    variables: {sops: a.ini}\n", inSOPS, []string{
			`23:23: environments.dev.variables.sops: "a.ini" is no YAML, JSON or dotenv file; its name ends with .yaml, .yml, .json or .env`}},
		"clear text": {oneSecret, "    variables: {sops: open.yaml}\n", "    variables: {sops: open.json}\n", []string{
			"23:23: environments.dev.variables.sops: \"open.yaml\" is not encrypted by sops" + lies + "`sops encrypt --in-place open.yaml` or `sluice variables init` make the file",
			"33:23: environments.prod.variables.sops: \"open.json\" is not encrypted by sops" + lies + "`sops encrypt --in-place open.json` or `sluice variables init` make the file"}},
		"clear text in dotenv": {oneSecret, "    variables: {sops: open.env}\n", inSOPS, []string{
			"23:23: environments.dev.variables.sops: \"open.env\" is not encrypted by sops" + lies + "`sops encrypt --in-place open.env` or `sluice variables init` make the file"}},
		"a vault of no name": {"", "    variables: {keyVault: my--vault}\n", "    variables: {keyVault: 'http://v.example.com'}\n", []string{
			`21:27: environments.dev.variables.keyVault: "my--vault" is no name of a Key Vault; it has 3 to 24 letters, digits and single hyphens; outside of the public cloud write its https URL`,
			`31:27: environments.prod.variables.keyVault: "http://v.example.com" is not https`}},
		"a vault": {"", "    variables: {vault: {address: v, path: /a, version: 3, caFile: no.pem, auth: {}}}\n", "    variables: {vault: {address: 'https://v', path: a, auth: {token: {env: s.abc.def}}}}\n", []string{
			`21:34: environments.dev.variables.vault.address: "v" is no absolute URL such as https://calculator.example.com`,
			`21:43: environments.dev.variables.vault.path: "/a" is empty, or begins or ends with a /`,
			"21:56: environments.dev.variables.vault.version: 3 is no version of the key/value engine; known: 1, 2",
			`21:67: environments.dev.variables.vault.caFile: there is no file "no.pem" in the folder of sluice.yaml`,
			"21:75: environments.dev.variables.vault.auth: needs exactly one of token, kubernetes, appRole, jwt",
			"31:76: environments.prod.variables.vault.auth.token.env: is no name of an environment variable; write the variable's name, and its content where sluice runs",
		}},
		"two ways to log in": {"", "    variables: {vault: {address: 'https://v', path: a, auth: {token: {env: A}, jwt: {role: a}}}}\n", inSOPS, []string{
			"21:80: environments.dev.variables.vault.auth: has token and jwt, and needs exactly one of them; remove all but one"}},
		"a vault's token": {"", "    variables: {vault: {address: 'https://v', path: a, key: '', auth: {jwt: {role: a, token: {env: A}, audience: v}}}}\n", "    variables: {vault: {address: 'https://v', path: a, auth: {jwt: {}}}}\n", []string{
			"21:61: environments.dev.variables.vault.key: is empty",
			"21:114: environments.dev.variables.vault.auth.jwt.audience: nobody is asked for a token where one is given; remove it, or token",
			"31:63: environments.prod.variables.vault.auth.jwt.role: is missing"}},
		"a Secret": {"", "    variables: {kubernetes: {secret: My_Secret, namespace: a.b}}\n", "    variables: {kubernetes: {}}\n", []string{
			`21:38: environments.dev.variables.kubernetes.secret: "My_Secret" is no name of a Kubernetes Secret: lower-case letters, digits, hyphens and dots are allowed`,
			`21:60: environments.dev.variables.kubernetes.namespace: "a.b" is no DNS label: lower-case letters, digits and hyphens are allowed, and it begins and ends with a letter or digit`,
			"31:17: environments.prod.variables.kubernetes.secret: is missing"}},
	} {
		t.Run(name, func(t *testing.T) {
			path := withVariables(t, c.service, c.dev, c.prod)
			_, err := config.Load(path, getenv)
			compareProblems(t, path, err, c.want)
		})
	}
}
