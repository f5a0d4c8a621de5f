package rbac

import (
	"fmt"
	"slices"
	"strings"
)

// Manifests are the files that give the roles, by their names.
func Manifests() map[string]string {
	out := map[string]string{}
	for _, role := range Roles() {
		if out[role.File] != "" {
			out[role.File] += "---\n"
		}
		out[role.File] += role.manifest()
	}
	return out
}

// manifest is the role as kubectl applies it. It names no namespace: kubectl is told.
func (r Role) manifest() string {
	var b strings.Builder
	for _, line := range strings.Split(r.About, "\n") {
		fmt.Fprintf(&b, "# %s\n", capital(line, b.Len() == 0))
	}
	fmt.Fprintf(&b, "apiVersion: rbac.authorization.k8s.io/v1\nkind: %s\nmetadata: {name: %s}\nrules:\n", r.Kind(), r.Name)
	for _, rule := range r.Rules {
		fmt.Fprintf(&b, "  # %s\n", capital(rule.Why, true)+remark(rule.Use))
		fmt.Fprintf(&b, "  - apiGroups: [%s]\n    resources: [%s]\n", quoted([]string{rule.Group}), strings.Join(rule.Resources, ", "))
		if len(rule.Names) > 0 {
			fmt.Fprintf(&b, "    resourceNames: [%s]\n", strings.Join(rule.Names, ", "))
		}
		fmt.Fprintf(&b, "    verbs: [%s]\n", strings.Join(rule.Verbs, ", "))
	}
	return b.String()
}

// remark says which deployments may do without a rule.
func remark(u Use) string {
	switch u {
	case Slots:
		return "; blueGreen and canary only"
	case Nginx:
		return "; traffic: nginx only"
	case Gateway:
		return "; traffic: gateway only"
	case References:
		return "; references: {externalSecrets: …} only"
	case Better:
		return "; not needed, but better"
	case Every, Chart, Gates, Counts:
	}
	return ""
}

func quoted(list []string) string {
	list = slices.Clone(list)
	for i, s := range list {
		if s == "" {
			list[i] = `""`
		}
	}
	return strings.Join(list, ", ")
}

func capital(s string, first bool) string {
	if !first || s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}
