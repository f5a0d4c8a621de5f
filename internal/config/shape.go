package config

import (
	"reflect"
	"strings"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// Field is a key that a struct of the file has.
type Field struct {
	Name string
	// Required: the key must be there.
	Required bool
	Index    int
}

// Fields lists a struct's keys as its json tags name them. A key is required unless its tag says omitempty or omitzero.
func Fields(t reflect.Type) []Field {
	var fields []Field
	for i := range t.NumField() {
		name, options, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		if name == "" || name == "-" {
			continue
		}
		optional := strings.Contains(options, "omitempty") || strings.Contains(options, "omitzero")
		fields = append(fields, Field{Name: name, Required: !optional, Index: i})
	}
	return fields
}

// Union lists the keys of which a struct must have exactly one; nil for a struct that is none.
func Union(t reflect.Type) []string { return unions()[t] }

func unions() map[reflect.Type][]string {
	return map[reflect.Type][]string{
		reflect.TypeFor[v1alpha1.Strategy]():        {"direct", "blueGreen", "canary"},
		reflect.TypeFor[v1alpha1.Traffic]():         {"gateway", "nginx", "service", "none"},
		reflect.TypeFor[v1alpha1.Gate]():            {"http", "helmTest"},
		reflect.TypeFor[v1alpha1.HTTPGate]():        {"path", "url"},
		reflect.TypeFor[v1alpha1.Image]():           {"ko", "dockerfile", "script"},
		reflect.TypeFor[v1alpha1.BuildSecret]():     {"env", "file"},
		reflect.TypeFor[v1alpha1.Cluster]():         {"context", "inCluster", "aks"},
		reflect.TypeFor[v1alpha1.Signing]():         {"key", "kms", "keyless"},
		reflect.TypeFor[v1alpha1.SigningKey]():      {"env", "file"},
		reflect.TypeFor[v1alpha1.Signer]():          {"file", "pem", "keyless"},
		reflect.TypeFor[v1alpha1.KeylessSigner]():   {"identity", "identityRegExp"},
		reflect.TypeFor[v1alpha1.TrustedRoot]():     {"file", "json"},
		reflect.TypeFor[v1alpha1.Scan]():            {"grype", "trivy", "sarif"},
		reflect.TypeFor[v1alpha1.SARIFScan]():       {"command", "file"},
		reflect.TypeFor[v1alpha1.VariableStore]():   {"sops", "keyVault", "vault", "kubernetes"},
		reflect.TypeFor[v1alpha1.References]():      {"externalSecrets"},
		reflect.TypeFor[v1alpha1.VaultAuth]():       {"token", "kubernetes", "appRole", "jwt"},
		reflect.TypeFor[v1alpha1.VaultCredential](): {"env", "file"},
		reflect.TypeFor[v1alpha1.RequestSource]():   {"ingress", "prometheus", "azureMonitor", "probe"},
		reflect.TypeFor[v1alpha1.Metric]():          {"prometheus", "azureMonitor"},
	}
}
