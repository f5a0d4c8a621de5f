package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/sluice-dev/sluice/internal/fault"
)

// Find returns the path of the sluice.yaml of a folder: its own, or that of the nearest folder above it, no further up than
// the Git work tree that holds it. The path is relative where dir is. Where there is none the error is fault.NotFound.
func Find(dir string) (string, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", fault.Wrap(fault.Internal, "find "+FileName, err)
	}
	misnamed := ""
	for here := abs; ; here, dir = filepath.Dir(here), filepath.Join(dir, "..") {
		found, err := exists(filepath.Join(here, FileName))
		if err != nil {
			return "", fault.Wrap(fault.Usage, "find "+FileName, err)
		}
		if found {
			return filepath.Join(dir, FileName), nil
		}
		if yml, err := exists(filepath.Join(here, "sluice.yml")); err == nil && yml && misnamed == "" {
			misnamed = filepath.Join(dir, "sluice.yml")
		}
		root, err := exists(filepath.Join(here, ".git"))
		if err != nil {
			return "", fault.Wrap(fault.Usage, "find "+FileName, err)
		}
		if root || here == filepath.Dir(here) {
			return "", notFound(abs, misnamed)
		}
	}
}

func notFound(dir, misnamed string) error {
	err := fault.New(fault.NotFound, "find "+FileName, "none in %s or the folders above it", dir)
	if misnamed != "" {
		return err.WithHint("rename %s to %s", misnamed, FileName)
	}
	return err.WithHint("`sluice init` writes one, --file names another")
}

// exists says whether there is something at the path; an error says that it could not be found out.
func exists(path string) (bool, error) {
	_, err := os.Stat(path)
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	default:
		return false, err
	}
}
