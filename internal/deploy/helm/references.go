package helm

// rewrite points a slot's references at the shared objects, which exist once under their stable name.
func (b *blueprint) rewrite(o object) {
	if len(b.renames) == 0 {
		return
	}
	var spec map[string]any
	if t := podTemplate(o); t != nil {
		spec, _ = t["spec"].(map[string]any)
	} else if o.GetKind() == "Pod" {
		spec, _ = o.Object["spec"].(map[string]any)
	}
	if spec != nil {
		b.rewritePod(spec)
	}
	if o.GetKind() == "RoleBinding" || o.GetKind() == "ClusterRoleBinding" {
		for _, s := range list(o.Object, "subjects") {
			if kind, ok := s["kind"].(string); ok {
				b.rename(s, kind, "name")
			}
		}
	}
}

func (b *blueprint) rewritePod(spec map[string]any) {
	b.rename(spec, "ServiceAccount", "serviceAccountName")
	b.rename(spec, "ServiceAccount", "serviceAccount")
	for _, v := range list(spec, "volumes") {
		b.renameIn(v, "persistentVolumeClaim", "PersistentVolumeClaim", "claimName")
		b.renameIn(v, "configMap", "ConfigMap", "name")
		b.renameIn(v, "secret", "Secret", "secretName")
		if p, ok := v["projected"].(map[string]any); ok {
			for _, source := range list(p, "sources") {
				b.renameIn(source, "configMap", "ConfigMap", "name")
				b.renameIn(source, "secret", "Secret", "name")
			}
		}
	}
	for _, s := range list(spec, "imagePullSecrets") {
		b.rename(s, "Secret", "name")
	}
	for _, containers := range []string{"containers", "initContainers"} {
		for _, c := range list(spec, containers) {
			b.rewriteContainer(c)
		}
	}
}

func (b *blueprint) rewriteContainer(c map[string]any) {
	for _, e := range list(c, "envFrom") {
		b.renameIn(e, "configMapRef", "ConfigMap", "name")
		b.renameIn(e, "secretRef", "Secret", "name")
	}
	for _, e := range list(c, "env") {
		if from, ok := e["valueFrom"].(map[string]any); ok {
			b.renameIn(from, "configMapKeyRef", "ConfigMap", "name")
			b.renameIn(from, "secretKeyRef", "Secret", "name")
		}
	}
}

func (b *blueprint) renameIn(in map[string]any, member, kind, field string) {
	if m, ok := in[member].(map[string]any); ok {
		b.rename(m, kind, field)
	}
}

func (b *blueprint) rename(in map[string]any, kind, field string) {
	name, ok := in[field].(string)
	if !ok {
		return
	}
	if shared := b.renames[kind][name]; shared != "" {
		in[field] = shared
	}
}

// list returns the maps of a list member.
func list(in map[string]any, member string) []map[string]any {
	items, _ := in[member].([]any)
	var out []map[string]any
	for _, item := range items {
		if m, ok := item.(map[string]any); ok {
			out = append(out, m)
		}
	}
	return out
}
