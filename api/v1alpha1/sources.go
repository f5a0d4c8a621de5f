package v1alpha1

// Sources are the folders and files, relative to sluice.yaml, that the image is built from as far as its own keys say it. None
// means that nobody knows: anything may be part of it.
func (i Image) Sources() []string {
	if i.Ko != "" {
		return []string{i.Ko}
	}
	return nil
}
