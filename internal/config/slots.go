package config

import (
	"regexp"
	"slices"
	"strings"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// slotObjects checks what a service says of objects that exist once for both slots, or in each.
func (v *validator) slotObjects(path string, s v1alpha1.Service) {
	form := regexp.MustCompile(`^[A-Z][A-Za-z]*/[a-z0-9]([-.a-z0-9]*[a-z0-9])?$`)
	for i, object := range s.Shared {
		if !form.MatchString(object) {
			v.report(item(child(path, "shared"), i), "", "%q is no Kind/name such as PersistentVolumeClaim/data", object)
		}
	}
	for i, object := range s.PerSlot {
		here := item(child(path, "perSlot"), i)
		switch {
		case !form.MatchString(object):
			v.report(here, "", "%q is no Kind/name such as PersistentVolumeClaim/cache", object)
		case !strings.HasPrefix(object, "PersistentVolumeClaim/"):
			v.report(here, "remove it: other objects are in each slot unless they are under shared", "%q is no PersistentVolumeClaim", object)
		case slices.Contains(s.Shared, object):
			v.report(here, "remove one of the two", "%s is listed under shared too", object)
		}
	}
}
