package sigstore

import (
	"context"
	"crypto"
	"errors"
	"os/exec"
	"strings"

	"github.com/sigstore/sigstore/pkg/signature/kms/cliplugin"

	"github.com/sluice-dev/sluice/internal/fault"
)

// NewKMS makes a signer of a key that never leaves its key management service. uri is <name>://<key>. Azure Key Vault is built in, and
// azure is how it is reached; to every other service the program sigstore-kms-<name> in PATH is the way, by the plugin protocol that sigstore defines.
func NewKMS(ctx context.Context, uri string, azure AzureOptions) (*Signer, error) {
	const op = "reach the signing key"
	name, _, ok := strings.Cut(uri, "://")
	if !ok || name == "" || strings.ContainsAny(name, "/\\") {
		return nil, fault.New(fault.Usage, op, "%q is no URI of a key such as acme://keys/release", uri)
	}
	if name == strings.TrimSuffix(azureScheme, "://") {
		return NewAzureKey(ctx, uri, azure)
	}
	s, err := cliplugin.LoadSignerVerifier(ctx, uri, crypto.SHA256)
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return nil, fault.New(fault.Unreachable, op, "there is no program %s%s in PATH", cliplugin.PluginBinaryPrefix, name).
			WithHint("install the plugin of your key management service where sluice runs")
	case err != nil:
		return nil, fault.Wrap(fault.Unreachable, op, err)
	}
	return newSigner(op, s)
}
