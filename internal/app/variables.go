package app

import (
	"context"
	"os"
	"path/filepath"
	"time"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/variables"
	"github.com/sluice-dev/sluice/internal/variables/kubernetes"
	"github.com/sluice-dev/sluice/internal/variables/sops"
)

// VariableFile is an encrypted file of variables, OpenedVariables one that was opened for an editor.
type (
	VariableFile    = sops.File
	OpenedVariables = sops.Opened
)

// EncryptedFile is the file below the project's folder that holds an environment's variables.
func EncryptedFile(dir, name string, now func() time.Time) (VariableFile, error) {
	path, err := filepath.Abs(filepath.Join(dir, filepath.FromSlash(name)))
	return VariableFile{Path: path, Name: name, Now: now}, fault.Wrap(fault.Usage, "find "+name, err)
}

// reader reads a file that an environment names.
type reader func(name string) ([]byte, error)

// released reads the files that a release carries: what is deployed needs no checkout.
func released(release *v1alpha1.Release) reader {
	return func(name string) ([]byte, error) {
		data, ok := release.Files[name]
		if !ok {
			return nil, fault.New(fault.Fatal, "read "+name, "the release does not carry it").WithHint("build the release again")
		}
		return data, nil
	}
}

// Variables opens the store that holds an environment's variables, with the files of the project. It reads none yet.
func (a *App) Variables(ctx context.Context, environment string, env v1alpha1.Environment) (variables.Store, error) {
	return a.store(ctx, environment, env, func(name string) ([]byte, error) {
		return os.ReadFile(filepath.Join(a.o.Dir, filepath.FromSlash(name)))
	})
}

// store opens the store of an environment.
func (a *App) store(ctx context.Context, environment string, env v1alpha1.Environment, read reader) (variables.Store, error) {
	op := "open the variables of environment " + environment
	switch s := env.Variables; {
	case s == nil:
		return nil, fault.New(fault.Usage, op, "nothing says which store holds them").
			WithHint("name one in environments.%s.variables", environment)
	case s.SOPS != "":
		return sops.New(s.SOPS, func() ([]byte, error) { return read(s.SOPS) }), nil
	case s.KeyVault != "":
		return a.keyVault(s.KeyVault)
	case s.Vault != nil:
		return a.vault(*s.Vault, read)
	case s.Kubernetes != nil:
		spec := a.override(env.Cluster)
		c, err := a.connect(ctx, environment, spec)
		if err != nil {
			return nil, err
		}
		if err := c.verify(environment, spec); err != nil {
			return nil, err
		}
		return kubernetes.New(c.client, s.Kubernetes.Namespace, s.Kubernetes.Secret), nil
	}
	return nil, fault.New(fault.Usage, op, "their store is of no kind that this version reads").WithHint("use sops, keyVault, vault or kubernetes")
}
