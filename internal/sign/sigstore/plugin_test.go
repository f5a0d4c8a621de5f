package sigstore_test

import (
	"context"
	"crypto"
	"errors"
	"os"
	"testing"

	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/sigstore/sigstore/pkg/signature/kms/cliplugin/handler"
)

// TestMain turns the test binary into a plugin where it is started as one.
func TestMain(m *testing.M) {
	if os.Getenv("SLUICE_TEST_PLUGIN") == "" {
		os.Exit(m.Run())
	}
	if err := servePlugin(); err != nil {
		_ = handler.WriteErrorResponse(os.Stdout, err)
		os.Exit(1)
	}
}

// servePlugin answers one call with the key in the file that the resource names.
func servePlugin() error {
	args, err := handler.GetPluginArgs(os.Args)
	if err != nil {
		return err
	}
	data, err := os.ReadFile(args.InitOptions.KeyResourceID)
	if err != nil {
		return err
	}
	private, err := cryptoutils.UnmarshalPEMToPrivateKey(data, cryptoutils.SkipPassword)
	if err != nil {
		return err
	}
	sv, err := signature.LoadSignerVerifier(private, args.InitOptions.HashFunc)
	if err != nil {
		return err
	}
	_, err = handler.Dispatch(os.Stdout, os.Stdin, args, plugin{sv})
	return err
}

type plugin struct{ signature.SignerVerifier }

func (plugin) CreateKey(context.Context, string) (crypto.PublicKey, error) {
	return nil, errors.New("not here")
}
func (plugin) DefaultAlgorithm() string      { return "ecdsa-p256" }
func (plugin) SupportedAlgorithms() []string { return []string{"ecdsa-p256"} }
func (plugin) CryptoSigner(context.Context, func(error)) (crypto.Signer, crypto.SignerOpts, error) {
	return nil, nil, errors.New("not here")
}
