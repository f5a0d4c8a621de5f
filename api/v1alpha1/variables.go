package v1alpha1

// Variable says how a service takes one variable of its environment's store.
type Variable struct {
	// As says how the variable reaches the service: `secret`, in a Kubernetes Secret that sluice writes; `reference`, in a Kubernetes Secret that the cluster fills from the store itself, so that the machine which deploys never sees it; `value`, in the chart's values, which is for what is no secret: Helm keeps values in clear text. Default: secret.
	As VariableKind `json:"as,omitempty"`
	// Key is where it goes: for `value` the path in the chart's values, for `secret` and `reference` the key in the Kubernetes Secret. Default: the variable's name; a `value` needs it.
	Key string `json:"key,omitempty"`
	// Name of the variable in the stores of all environments. Default: the variable's name.
	Name string `json:"name,omitempty"`
	// OnRollback says which version an earlier release gets: `recorded`, the one that it ran with, or `current`, what the store holds now: for credentials that are renewed and of which the former is worth nothing. Default: recorded.
	OnRollback string `json:"onRollback,omitempty"`
}

// VariableKind is the way that a variable takes to the service.
type VariableKind string

// The ways.
const (
	VariableSecret    VariableKind = "secret"
	VariableReference VariableKind = "reference"
	VariableValue     VariableKind = "value"
)

// The answers to which version of a variable an earlier release gets.
const (
	OnRollbackRecorded = "recorded"
	OnRollbackCurrent  = "current"
)

// Hidden says that nobody must see the variable.
func (v Variable) Hidden() bool { return v.As != VariableValue }

// Referred says that only the cluster reads the variable.
func (v Variable) Referred() bool { return v.As == VariableReference }

// KeyOf is where the variable of that name goes: the key in a Secret, or the path in the chart's values.
func (v Variable) KeyOf(name string) string {
	if v.Key != "" {
		return v.Key
	}
	return name
}

// StoreName is the name in the store of the variable of that name.
func (v Variable) StoreName(name string) string {
	if v.Name != "" {
		return v.Name
	}
	return name
}

// VariableValues says where a chart wants to be told about variables.
type VariableValues struct {
	// SecretName is the path in the chart's values that takes the name of the Kubernetes Secret which holds the variables that come as secret.
	SecretName string `json:"secretName,omitempty"`
	// ReferenceName is the path in the chart's values that takes the name of the Kubernetes Secret which holds the variables that come as reference. It is another Secret.
	ReferenceName string `json:"referenceName,omitempty"`
}

// VariableStore is the secure store that holds an environment's variables. Exactly one of sops, keyVault, vault and kubernetes is set.
type VariableStore struct {
	// SOPS is the path of a YAML, JSON or dotenv file below the folder of sluice.yaml that sops has encrypted.
	SOPS string `json:"sops,omitempty"`
	// KeyVault is the name of an Azure Key Vault, or its URL where it is not in the public cloud. Its names have no underscores: the variable DB_PASSWORD is the secret DB-PASSWORD there.
	KeyVault string `json:"keyVault,omitempty"`
	// Vault is a key/value engine of HashiCorp Vault or OpenBao.
	Vault *VaultStore `json:"vault,omitempty"`
	// Kubernetes is a Secret in the environment's cluster.
	Kubernetes *SecretStore `json:"kubernetes,omitempty"`
}

// VaultStore is a secret of a key/value engine of HashiCorp Vault or OpenBao whose keys are the variables; with `key`, a folder of secrets, one for each variable.
type VaultStore struct {
	// Address is the server's URL, for example https://vault.example.com:8200.
	Address string `json:"address"`
	// Mount is where the key/value engine is mounted. Default: secret.
	Mount string `json:"mount,omitempty"`
	// Path of the secret below the mount, for example calculator/prod.
	Path string `json:"path"`
	// Key makes each variable a secret of its own below the path, so that each has versions of its own: it is the key in that secret which holds the content, for example value. Default: the path is one secret, its keys are the variables, and a new version of it is a new one of all of them.
	Key string `json:"key,omitempty"`
	// Version of the engine: 1 or 2. Only 2 keeps earlier versions. Default: 2.
	Version int `json:"version,omitempty"`
	// Auth says how to log in. Default: with the token in $VAULT_TOKEN, then the one that `vault login` left in ~/.vault-token.
	Auth *VaultAuth `json:"auth,omitempty"`
	// Namespace of Vault Enterprise or OpenBao. Default: none.
	Namespace string `json:"namespace,omitempty"`
	// CAFile is the path of a file below the folder of sluice.yaml with the certificates in PEM that the server's must be signed by. Default: those of the system.
	CAFile string `json:"caFile,omitempty"`
}

// VaultAuth is a way to log in at Vault. Exactly one of token, kubernetes, appRole and jwt is set.
type VaultAuth struct {
	// Token is used as it is.
	Token *VaultCredential `json:"token,omitempty"`
	// Kubernetes logs in as the service account of the pod that sluice runs in.
	Kubernetes *VaultKubernetes `json:"kubernetes,omitempty"`
	// AppRole logs in with the identifier of a role and a secret.
	AppRole *VaultAppRole `json:"appRole,omitempty"`
	// JWT logs in with a signed token of somebody whom Vault trusts, for example of the CI.
	JWT *VaultJWT `json:"jwt,omitempty"`
}

// VaultCredential says where a credential is found. Exactly one of env and file is set.
type VaultCredential struct {
	// Env is the name of the environment variable that holds it.
	Env string `json:"env,omitempty"`
	// File is the path of a file that holds it, relative to sluice.yaml or absolute.
	File string `json:"file,omitempty"`
}

// VaultKubernetes logs in as a service account.
type VaultKubernetes struct {
	// Role of Vault that the service account takes.
	Role string `json:"role"`
	// Mount of the login. Default: kubernetes.
	Mount string `json:"mount,omitempty"`
	// TokenFile is the path of the service account's token. Default: /var/run/secrets/kubernetes.io/serviceaccount/token.
	TokenFile string `json:"tokenFile,omitempty"`
}

// VaultAppRole logs in as a role.
type VaultAppRole struct {
	// RoleID is the role's identifier, which is no secret.
	RoleID string `json:"roleID"`
	// SecretID is the role's secret.
	SecretID VaultCredential `json:"secretID"`
	// Mount of the login. Default: approle.
	Mount string `json:"mount,omitempty"`
}

// VaultJWT logs in with a signed token.
type VaultJWT struct {
	// Role of Vault that the token's bearer takes.
	Role string `json:"role"`
	// Token is the signed token. Default: the one that GitHub Actions or Azure Pipelines gives to the job that sluice runs in.
	Token *VaultCredential `json:"token,omitempty"`
	// Audience is for whom GitHub Actions is asked to issue the token. Default: GitHub's, the URL of the repository's owner. Azure Pipelines always issues for api://AzureADTokenExchange.
	Audience string `json:"audience,omitempty"`
	// Mount of the login. Default: jwt.
	Mount string `json:"mount,omitempty"`
}

// SecretStore is a Kubernetes Secret; its keys are the variables.
type SecretStore struct {
	// Secret is the Secret's name.
	Secret string `json:"secret"`
	// Namespace of the Secret. Default: the environment's.
	Namespace string `json:"namespace,omitempty"`
}
