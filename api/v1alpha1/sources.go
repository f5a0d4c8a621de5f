package v1alpha1

import "path"

// Sources are the folders and files, relative to sluice.yaml, that the image is built from as far as its own keys say it. None
// means that nobody knows: anything may be part of it.
func (i Image) Sources() []string {
	switch {
	case i.Ko != "":
		return []string{i.Ko}
	case i.Dockerfile != "":
		return []string{i.Dockerfile, i.BuildContext()}
	}
	return nil
}

// BuildContext is the folder, relative to sluice.yaml, from which a Dockerfile copies.
func (i Image) BuildContext() string {
	if i.Context != "" {
		return i.Context
	}
	return path.Dir(i.Dockerfile)
}
