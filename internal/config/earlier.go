package config

import "github.com/sluice-dev/sluice/api/v1alpha1"

// Earlier reads an earlier content of the file, with the defaults filled in as Load does, to be compared with what Load returns.
// Files that it names are not looked for: what is there today says nothing about then. It fails where the content has another form than today's.
func Earlier(path string, data []byte, getenv func(string) (string, bool)) (v1alpha1.Project, error) {
	f, d, err := form(path, data, getenv)
	if err != nil {
		return v1alpha1.Project{}, err
	}
	if err := d.problems.err(); err != nil {
		return v1alpha1.Project{}, err
	}
	applyDefaults(&f.Project)
	return f.Project, nil
}
