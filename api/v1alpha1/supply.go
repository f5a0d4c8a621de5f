package v1alpha1

import "time"

// Signing says with which key `sluice build` signs images, charts, releases and their provenance. Exactly one of key, kms and keyless is set. A key itself never stands in the file.
type Signing struct {
	// Key is a private key in PEM, as `cosign generate-key-pair` or `openssl` write it.
	Key *SigningKey `json:"key,omitempty"`
	// KMS is the URI of a key in a key management service. azurekms://VAULT.vault.azure.net/KEY[/VERSION] is a key in Azure Key Vault; any other service is reached by a plugin program: acme://keys/release is asked of sigstore-kms-acme in PATH.
	KMS string `json:"kms,omitempty"`
	// Keyless signs with a key that lives as long as the run, and a certificate that a Fulcio issues to the identity of the pipeline. With no more keys in it ({}) sigstore's public good instance is used.
	Keyless *KeylessSigning `json:"keyless,omitempty"`
}

// KeylessSigning says where the certificate of a run comes from, and who witnesses its signatures. Without fulcio that is sigstore's public good instance, whose services are named by its TUF repository.
type KeylessSigning struct {
	// Fulcio is the URL of an own certificate authority, for example https://fulcio.example.com. It needs trustedRoot, and rekor, timestampAuthority or both. Default: the public good instance.
	Fulcio string `json:"fulcio,omitempty"`
	// Rekor is the URL of the transparency log that belongs to fulcio. Default: none.
	Rekor string `json:"rekor,omitempty"`
	// TimestampAuthority is the whole URL of the RFC 3161 service that belongs to fulcio, for example https://tsa.example.com/api/v1/timestamp. Default: none.
	TimestampAuthority string `json:"timestampAuthority,omitempty"`
	// TrustedRoot is what signatures of an own instance are verified by, here to recognise those of earlier runs and to prove each new one before it is used.
	TrustedRoot *TrustedRoot `json:"trustedRoot,omitempty"`
	// TokenEnv is the name of the environment variable that holds the identity token. Default: SIGSTORE_ID_TOKEN, else what GitHub Actions or Azure Pipelines offer a job.
	TokenEnv string `json:"tokenEnv,omitempty"`
	// Audience that GitHub Actions is asked to issue the token for. Default: sigstore.
	Audience string `json:"audience,omitempty"`
}

// TrustedRoot names the authorities and logs of a sigstore instance, as `cosign trusted-root create` writes them. Exactly one of file and json is set.
type TrustedRoot struct {
	// File is the path of a trusted_root.json below the folder of sluice.yaml. A release carries its content.
	File string `json:"file,omitempty"`
	// JSON is the content itself.
	JSON string `json:"json,omitempty"`
}

// SigningKey says where the private key is found. Exactly one of env and file is set.
type SigningKey struct {
	// Env is the name of the environment variable that holds the key in PEM.
	Env string `json:"env,omitempty"`
	// File is the path of a file that holds the key in PEM, relative to sluice.yaml or absolute.
	File string `json:"file,omitempty"`
	// PasswordEnv is the name of the environment variable that holds the password of an encrypted key. Default: COSIGN_PASSWORD.
	PasswordEnv string `json:"passwordEnv,omitempty"`
}

// Verification says what a release must prove before anything is touched. What sluice.yaml says where the command runs and what the release says must both hold.
type Verification struct {
	// Signers of which one must have signed the release, each of its images, and their provenance.
	Signers []Signer `json:"signers"`
	// Provenance requires a signed statement of how the release and each of its images were built. Default: a signature is enough.
	Provenance *ProvenancePolicy `json:"provenance,omitempty"`
}

// Signer is somebody whose signature counts. Exactly one of file, pem and keyless is set.
type Signer struct {
	// File is the path of a file below the folder of sluice.yaml that holds a public key in PEM. A release carries its content.
	File string `json:"file,omitempty"`
	// PEM is the public key itself.
	PEM string `json:"pem,omitempty"`
	// Keyless is an identity that a Fulcio issues certificates to.
	Keyless *KeylessSigner `json:"keyless,omitempty"`
}

// KeylessSigner is an identity whose certificate counts. Exactly one of identity and identityRegExp is set.
type KeylessSigner struct {
	// Issuer is the URL of whoever vouches for the identity, exactly as the certificate has it, for example https://token.actions.githubusercontent.com.
	Issuer string `json:"issuer"`
	// Identity is the certificate's subject, for example https://github.com/acme/shop/.github/workflows/release.yaml@refs/heads/main.
	Identity string `json:"identity,omitempty"`
	// IdentityRegExp is a regular expression (RE2) that the whole subject must match, from its first to its last character.
	IdentityRegExp string `json:"identityRegExp,omitempty"`
	// TrustedRoot says what certificates, logs and timestamps are verified by: each kind of authority that it names is demanded. Default: the trusted root of sigstore's public good instance, fetched by TUF; without a network name it as a file.
	TrustedRoot *TrustedRoot `json:"trustedRoot,omitempty"`
}

// ProvenancePolicy says what provenance must say. The commit must be that of the release in any case.
type ProvenancePolicy struct {
	// Builders are the identifiers of builders that may have built it, for example https://github.com/actions/runner. Default: any.
	Builders []string `json:"builders,omitempty"`
	// Sources are the URLs of repositories it may have been built from, for example https://github.com/acme/shop. Default: any.
	Sources []string `json:"sources,omitempty"`
}

// Scan says how images are searched for known vulnerabilities before a release is made of them. Exactly one of grype, trivy and sarif is set.
type Scan struct {
	// Grype runs the scanner of that name.
	Grype *ScanProgram `json:"grype,omitempty"`
	// Trivy runs the scanner of that name.
	Trivy *ScanProgram `json:"trivy,omitempty"`
	// SARIF takes the report of any other scanner.
	SARIF *SARIFScan `json:"sarif,omitempty"`
	// FailOn is the lowest severity that fails the build: low, medium, high or critical. Default: high.
	FailOn Severity `json:"failOn,omitempty"`
	// MaxAge is how old the scanner's database may be. Default: 120h. A SARIF report does not say, so there it cannot be set.
	MaxAge Duration `json:"maxAge,omitempty"`
	// Unavailable says what becomes of a build whose images could not be scanned, or only with a database that is too old: fail, or warn. Default: fail.
	Unavailable string `json:"unavailable,omitempty"`
	// Ignore lists findings that do not fail a build, each for a reason and until a day.
	Ignore []ScanIgnore `json:"ignore,omitempty"`
}

// ScanProgram is a scanner that is installed where sluice runs.
type ScanProgram struct {
	// Path of the program. Default: found in PATH by its name.
	Path string `json:"path,omitempty"`
}

// SARIFScan is a scanner that reports in SARIF 2.1.0. Exactly one of command and file is set.
type SARIFScan struct {
	// Command is run in the folder of sluice.yaml for each image and writes its report to standard output. {layout} stands for the folder of the image in OCI image layout, {image} for its name.
	Command []string `json:"command,omitempty"`
	// File is the path of a report that an earlier step of the pipeline wrote, relative to sluice.yaml. {image} stands for the image's name, {digest} for its digest without sha256:.
	File string `json:"file,omitempty"`
}

// ScanIgnore takes one vulnerability out of the count.
type ScanIgnore struct {
	// ID of the vulnerability, for example CVE-2026-1234.
	ID string `json:"id"`
	// Package limits it to one package. Default: any.
	Package string `json:"package,omitempty"`
	// Reason says why it does not matter, for whoever reads the report.
	Reason string `json:"reason"`
	// Until is the last day on which it is ignored, as YYYY-MM-DD in UTC; from the next day on the finding counts again.
	Until string `json:"until"`
}

// Severity of a vulnerability.
type Severity string

// The severities, from what a scanner could not tell to what is worst.
const (
	SeverityUnknown    Severity = "unknown"
	SeverityNegligible Severity = "negligible"
	SeverityLow        Severity = "low"
	SeverityMedium     Severity = "medium"
	SeverityHigh       Severity = "high"
	SeverityCritical   Severity = "critical"
)

// Severities lists them in ascending order.
func Severities() []Severity {
	return []Severity{SeverityUnknown, SeverityNegligible, SeverityLow, SeverityMedium, SeverityHigh, SeverityCritical}
}

// Rank orders severities; what is none ranks as unknown.
func (s Severity) Rank() int {
	for i, known := range Severities() {
		if s == known {
			return i
		}
	}
	return 0
}

// ScanSummary is what a release says of the scan of one of its images, when it was made.
type ScanSummary struct {
	// Scanner and its version.
	Scanner string `json:"scanner"`
	// Database is when the scanner's knowledge was made; zero where it does not say.
	Database time.Time `json:"database,omitzero"`
	// Limit is the lowest severity that would have failed.
	Limit Severity `json:"limit"`
	// Found counts the findings by severity, Ignored those among them that were ignored.
	Found   map[Severity]int `json:"found,omitempty"`
	Ignored int              `json:"ignored,omitempty"`
	// Unavailable says why there was no scan worth the name, where that was allowed.
	Unavailable string `json:"unavailable,omitempty"`
}
