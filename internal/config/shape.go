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
func Union(t reflect.Type) []string {
	switch t {
	case reflect.TypeFor[v1alpha1.Strategy]():
		return []string{"direct", "blueGreen", "canary"}
	case reflect.TypeFor[v1alpha1.Traffic]():
		return []string{"gateway", "nginx", "service", "none"}
	case reflect.TypeFor[v1alpha1.Gate]():
		return []string{"http", "helmTest"}
	case reflect.TypeFor[v1alpha1.HTTPGate]():
		return []string{"path", "url"}
	case reflect.TypeFor[v1alpha1.Image]():
		return []string{"ko", "dockerfile", "script"}
	case reflect.TypeFor[v1alpha1.BuildSecret]():
		return []string{"env", "file"}
	case reflect.TypeFor[v1alpha1.Cluster]():
		return []string{"context", "inCluster", "aks"}
	case reflect.TypeFor[v1alpha1.Signing]():
		return []string{"key", "kms", "keyless"}
	case reflect.TypeFor[v1alpha1.SigningKey]():
		return []string{"env", "file"}
	case reflect.TypeFor[v1alpha1.Signer]():
		return []string{"file", "pem", "keyless"}
	case reflect.TypeFor[v1alpha1.KeylessSigner]():
		return []string{"identity", "identityRegExp"}
	case reflect.TypeFor[v1alpha1.TrustedRoot]():
		return []string{"file", "json"}
	case reflect.TypeFor[v1alpha1.Scan]():
		return []string{"grype", "trivy", "sarif"}
	case reflect.TypeFor[v1alpha1.SARIFScan]():
		return []string{"command", "file"}
	default:
		if members := analysisUnion(t); members != nil {
			return members
		}
		return storeUnion(t)
	}
}
