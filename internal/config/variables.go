package config

import (
	"maps"
	"slices"
	"strings"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

const (
	// secretKey is what Kubernetes takes as a key of a Secret.
	secretKey = `^[-._a-zA-Z0-9]{1,253}$`
	// storeName is what some store takes as a name; which ones it takes it says itself.
	storeName = `^[-._/a-zA-Z0-9]{1,253}$`
	// objectName is what Kubernetes takes as the name of most objects.
	objectName = `^[a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?$`
	// valuePath is a dotted path into a chart's values.
	valuePath = `^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$`
)

// LoadUnmade is Load for the command that makes the encrypted files of variables: that they are not there yet is no problem.
func LoadUnmade(path string, getenv func(string) (string, bool)) (*File, error) {
	data, err := read(path)
	if err != nil {
		return nil, err
	}
	return decode(path, data, getenv, func(v *validator) { v.unmade = true })
}

// variables checks what concerns several services and environments: the stores that are missing, and what is a secret for one service and not for another.
func (v *validator) variables(p *v1alpha1.Project) {
	taking, secrets := "", map[string]string{}
	for _, service := range sorted(p.Services) {
		all := p.Services[service].Variables
		if len(all) > 0 && taking == "" {
			taking = service
		}
		for _, name := range sorted(all) {
			if stored := all[name].StoreName(name); all[name].Hidden() && secrets[stored] == "" {
				secrets[stored] = child(child(child("services", service), "variables"), name)
			}
		}
	}
	for _, service := range sorted(p.Services) {
		for _, name := range sorted(p.Services[service].Variables) {
			variable := p.Services[service].Variables[name]
			if place := secrets[variable.StoreName(name)]; !variable.Hidden() && place != "" {
				v.report(child(child(child(child("services", service), "variables"), name), "as"), "take it as a secret here too",
					"%s is a secret by %s, and Helm would keep it in clear text", variable.StoreName(name), place)
			}
		}
	}
	for _, name := range sorted(p.Environments) {
		if path := child("environments", name); taking != "" && p.Environments[name].Variables == nil && !v.positions.has(child(path, "variables")) {
			v.reportKey(path, "name one, for example `variables: {sops: env/"+name+".enc.yaml}`, which `sluice variables init` makes",
				"the service %s takes variables, and nothing says which store holds those of %s", taking, name)
		}
	}
	v.references(p)
}

// serviceVariables checks the variables of a service.
func (v *validator) serviceVariables(path string, s v1alpha1.Service) {
	variables := child(path, "variables")
	kept, referred := false, false
	keys, places := map[string]string{}, v.takenPlaces(path, s)
	for _, name := range sorted(s.Variables) {
		variable := s.Variables[name]
		here := child(variables, name)
		if !v.matches(secretKey, name) {
			v.reportKey(here, "letters, digits, -, _ and . are allowed", "%q is no name of a variable", name)
		}
		v.variableWords(here, variable)
		if variable.Hidden() {
			kept, referred = kept || !variable.Referred(), referred || variable.Referred()
			v.variableKey(here, name, variable, keys)
		} else {
			v.variablePlace(here, variable, places)
		}
	}
	var told v1alpha1.VariableValues
	if s.VariableValues != nil {
		told = *s.VariableValues
	}
	v.secretNamePlace(path, "secretName", told.SecretName, v1alpha1.VariableSecret, kept, places)
	v.secretNamePlace(path, "referenceName", told.ReferenceName, v1alpha1.VariableReference, referred, places)
}

func (v *validator) variableWords(here string, variable v1alpha1.Variable) {
	kinds := []string{string(v1alpha1.VariableSecret), string(v1alpha1.VariableReference), string(v1alpha1.VariableValue)}
	if at := child(here, "as"); v.positions.has(at) && !slices.Contains(kinds, string(variable.As)) {
		v.report(at, didYouMean(string(variable.As), kinds), "%q is no way for a variable to the service", variable.As)
	}
	answers := []string{v1alpha1.OnRollbackRecorded, v1alpha1.OnRollbackCurrent}
	if at := child(here, "onRollback"); v.positions.has(at) && !slices.Contains(answers, variable.OnRollback) {
		v.report(at, didYouMean(variable.OnRollback, answers), "%q does not say which version an earlier release gets", variable.OnRollback)
	}
	if at := child(here, "name"); v.positions.has(at) && !v.matches(storeName, variable.Name) {
		v.report(at, "letters, digits, -, _, . and / are allowed", "%q is no name in a store", variable.Name)
	}
}

// variableKey checks the key in the Secret, of which there is one for all.
func (v *validator) variableKey(here, name string, variable v1alpha1.Variable, keys map[string]string) {
	key, at := name, here
	if v.positions.has(child(here, "key")) {
		if key, at = variable.Key, child(here, "key"); !v.matches(secretKey, key) {
			v.report(at, "letters, digits, -, _ and . are allowed", "%q is no key of a Kubernetes Secret", key)
			return
		}
	}
	if other := keys[key]; other != "" {
		v.report(at, "give one of them another key", "%s is the key of %s too", key, other)
		return
	}
	keys[key] = name
}

// variablePlace checks the path in the values that takes a variable.
func (v *validator) variablePlace(here string, variable v1alpha1.Variable, places map[string]string) {
	at := child(here, "key")
	if !v.positions.has(at) {
		v.report(here, "add `key: PATH`, with the path in the chart's values that takes it", "as a value it needs a key")
		return
	}
	v.place(at, variable.Key, here, places)
}

// secretNamePlace checks the path in the chart's values that takes the name of the Secret of all variables of a kind, if there are any.
func (v *validator) secretNamePlace(service, key, place string, kind v1alpha1.VariableKind, some bool, places map[string]string) {
	here := child(child(service, "variableValues"), key)
	switch {
	case v.positions.has(here) && !some:
		v.reportKey(here, "remove it", "there is no Secret to be named: no variable comes as %s", kind)
	case v.positions.has(here):
		v.place(here, place, here, places)
	case some && place == "":
		v.reportKey(child(service, "variables"), "add `variableValues: {"+key+": PATH}`, with the path in the chart's values that takes the name",
			"nothing tells the chart which Secret holds those that come as %s: its name changes with what it holds", kind)
	}
}

// place checks a path in the chart's values that takes what nothing else may write, at it, above or below.
func (v *validator) place(at, place, owner string, places map[string]string) {
	if !v.matches(valuePath, place) {
		v.report(at, "", "%q is no path in a chart's values such as log.level", place)
		return
	}
	for _, other := range sorted(places) {
		if other == place || strings.HasPrefix(other, place+".") || strings.HasPrefix(place, other+".") {
			v.report(at, "give each its own place", "%s would be written twice: %s takes %s", place, places[other], other)
			return
		}
	}
	places[place] = owner
}

// takenPlaces are the paths in the chart's values that take something else.
func (v *validator) takenPlaces(path string, s v1alpha1.Service) map[string]string {
	places := map[string]string{}
	for image, place := range s.ImageValues {
		places[place] = child(child(path, "imageValues"), image)
	}
	for place := range maps.Keys(s.SlotValues) {
		places[place] = child(child(path, "slotValues"), place)
	}
	return places
}

// variableDefaults writes out the defaults.
func variableDefaults(p *v1alpha1.Project) {
	for _, s := range p.Services {
		for name, variable := range s.Variables {
			orText(&variable.Name, name)
			orText(&variable.As, v1alpha1.VariableSecret)
			orText(&variable.OnRollback, v1alpha1.OnRollbackRecorded)
			orText(&variable.Key, name)
			s.Variables[name] = variable
		}
	}
	for _, e := range p.Environments {
		if r := e.References; r != nil && r.ExternalSecrets != nil {
			orText(&r.ExternalSecrets.Kind, v1alpha1.KindSecretStore)
		}
		if e.Variables == nil {
			continue
		}
		if k := e.Variables.Kubernetes; k != nil {
			orText(&k.Namespace, e.Namespace)
		}
		if s := e.Variables.Vault; s != nil {
			orText(&s.Mount, "secret")
			if s.Version == 0 {
				s.Version = 2
			}
			vaultDefaults(s.Auth)
		}
	}
}

func vaultDefaults(a *v1alpha1.VaultAuth) {
	if a == nil {
		return
	}
	if k := a.Kubernetes; k != nil {
		orText(&k.Mount, "kubernetes")
		orText(&k.TokenFile, "/var/run/secrets/kubernetes.io/serviceaccount/token")
	}
	if r := a.AppRole; r != nil {
		orText(&r.Mount, "approle")
	}
	if j := a.JWT; j != nil {
		orText(&j.Mount, "jwt")
	}
}

func orText[T ~string](s *T, def T) {
	if *s == "" {
		*s = def
	}
}
