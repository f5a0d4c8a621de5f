package app

import (
	"os"
	"path/filepath"
	"time"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/variables"
	"github.com/sluice-dev/sluice/internal/variables/keyvault"
	"github.com/sluice-dev/sluice/internal/variables/vault"
)

// clock waits as the system does, and tells the time that the app was given.
type clock struct {
	variables.SystemClock
	now func() time.Time
}

func (c clock) Now() time.Time { return c.now() }

// keyVault reads as whom this run is in Azure.
func (a *App) keyVault(name string) (variables.Store, error) {
	store, err := keyvault.New(name, keyvault.Options{Credential: a.azure, Clock: clock{now: a.o.Now}})
	if err != nil {
		return nil, err // and no interface around a nil store
	}
	return store, nil
}

// vault reads certificates by read, and credentials where the run is.
func (a *App) vault(settings v1alpha1.VaultStore, read reader) (variables.Store, error) {
	store, err := vault.New(settings, vault.Options{
		Pipeline: a.pipeline, Clock: clock{now: a.o.Now},
		Getenv: func(name string) string {
			text, _ := a.o.LookupEnv(name)
			return text
		},
		ReadFile: func(path string) ([]byte, error) {
			if path == settings.CAFile {
				return read(path)
			}
			if !filepath.IsAbs(path) {
				path = filepath.Join(a.o.Dir, filepath.FromSlash(path))
			}
			return os.ReadFile(path)
		},
	})
	if err != nil {
		return nil, err
	}
	return store, nil
}
