package v1alpha1

// References says what reads, in an environment's cluster, the variables that come `as: reference`. Exactly one of its keys is set.
type References struct {
	// ExternalSecrets is the External Secrets operator, of a version that serves external-secrets.io/v1.
	ExternalSecrets *ExternalSecrets `json:"externalSecrets,omitempty"`
}

// ExternalSecrets names the operator's way to the environment's store.
type ExternalSecrets struct {
	// Store is the name of the SecretStore, in the environment's namespace, or of the ClusterSecretStore that leads to the same store as the environment's `variables`.
	Store string `json:"store"`
	// Kind is SecretStore or ClusterSecretStore. Default: SecretStore.
	Kind string `json:"kind,omitempty"`
}

// The kinds of ways that the External Secrets operator knows.
const (
	KindSecretStore        = "SecretStore"
	KindClusterSecretStore = "ClusterSecretStore"
)
