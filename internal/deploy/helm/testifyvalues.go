package helm

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	chartcommon "helm.sh/helm/v4/pkg/chart/common/util"
	"sigs.k8s.io/yaml"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// The bounds of a list of differences, in lines and in characters.
const (
	maxDifferences = 40
	maxDifference  = 200
	maxShown       = 80
)

// nothing stands for a value that a slot does not have, changed for two that are not shown.
const (
	nothing = "(none)"
	changed = "(changed)"
)

// differences lists the values in which the candidate differs from the live slot, or from its own revision before where there is one
// slot only.
func (r *Releaser) differences(ctx context.Context, v *view, candidate, live v1alpha1.Slot) ([]string, error) {
	service := v.scope.Service
	newer, ok := v.history.last(candidate.HelmRelease(service))
	if !ok {
		return nil, fmt.Errorf("there is no Helm release %s", candidate.HelmRelease(service))
	}
	older, ok := v.history.effective(live.HelmRelease(service))
	if candidate == live {
		older, ok = v.history.before(newer)
	}
	if !ok {
		return nil, fmt.Errorf("Helm release %s has no revision to compare with", live.HelmRelease(service))
	}
	b, err := r.valuesOf(ctx, v.scope.Namespace, newer)
	if err != nil {
		return nil, err
	}
	a, err := r.valuesOf(ctx, v.scope.Namespace, older)
	if err != nil {
		return nil, err
	}
	c := comparison{service: service, live: live, candidate: candidate, hide: r.hidden}
	return c.lines(a, b), nil
}

// before is the newest revision that was applied as a whole before another one, and carries something else.
func (h history) before(rev revision) (revision, bool) {
	for _, older := range slices.Backward(h[rev.release]) {
		cut := history{rev.release: {older}}
		if _, ok := cut.effective(rev.release); ok && older.version < rev.version && older.digest() != rev.digest() {
			return older, true
		}
	}
	return revision{}, false
}

// valuesOf are what the templates of a stored revision saw as .Values.
func (r *Releaser) valuesOf(ctx context.Context, namespace string, rev revision) (map[string]leaf, error) {
	rel, err := r.stored(ctx, namespace, rev)
	if err != nil {
		return nil, err
	}
	if rel.Chart == nil || rel.Chart.Metadata == nil {
		return nil, fmt.Errorf("Helm release %s revision %d holds no chart", rev.release, rev.version)
	}
	all, err := chartcommon.CoalesceValues(rel.Chart, rel.Config)
	if err != nil {
		return nil, fmt.Errorf("the values of Helm release %s revision %d: %w", rev.release, rev.version, err)
	}
	leaves := map[string]leaf{}
	flatten("", map[string]any(all), false, leaves)
	return leaves, nil
}

// leaf is a value that is no map or list with something in it.
type leaf struct {
	value any
	// secret says that what it is called, or what stands beside it, calls it a secret.
	secret bool
}

// flatten writes what is in a value by its path. A list whose items have names of their own is read by those, so that one item more does
// not make all that follow look changed.
func flatten(path string, value any, secret bool, into map[string]leaf) {
	switch v := value.(type) {
	case map[string]any:
		name, _ := v["name"].(string)
		for key, item := range v {
			flatten(joined(path, key), item, secret || namesSecret(key) || namesSecret(name) && key != "name", into)
		}
		if len(v) > 0 {
			return
		}
	case []any:
		names := namesIn(v)
		for i, item := range v {
			index := strconv.Itoa(i)
			if names != nil {
				index = names[i]
			}
			// An option and its argument may be two items.
			option := ""
			if i > 0 {
				option, _ = v[i-1].(string)
			}
			flatten(path+"["+index+"]", item, secret || strings.HasPrefix(option, "-") && namesSecret(option), into)
			if names != nil {
				delete(into, path+"["+index+"].name")
			}
		}
		if len(v) > 0 {
			return
		}
	}
	into[path] = leaf{value, secret}
}

// joined is the path of a key, as helm --set writes it.
func joined(path, key string) string {
	key = strings.ReplaceAll(key, ".", `\.`)
	if path == "" {
		return key
	}
	return path + "." + key
}

// namesIn are the names of a list's items; nil where not all have one of their own.
func namesIn(list []any) []string {
	var names []string
	for _, item := range list {
		m, _ := item.(map[string]any)
		name, _ := m["name"].(string)
		if name == "" || slices.Contains(names, name) {
			return nil
		}
		names = append(names, name)
	}
	return names
}

// namesSecret says that a name calls what it names a secret, in any of the ways in which charts write names.
func namesSecret(name string) bool {
	flat := strings.ToLower(regexp.MustCompile(`[^A-Za-z0-9]`).ReplaceAllString(name, ""))
	for _, part := range []string{"password", "passwd", "passphrase", "secret", "token", "apikey", "accesskey", "privatekey", "credential", "connectionstring"} {
		if strings.Contains(flat, part) {
			return true
		}
	}
	words := regexp.MustCompile(`[A-Z]?[a-z0-9]+|[A-Z]+`).FindAllString(name, -1)
	return slices.ContainsFunc(words, func(word string) bool {
		return slices.Contains([]string{"key", "keys", "pass", "pwd", "pat", "sas", "dsn", "auth", "salt", "cert", "pem"}, strings.ToLower(word))
	})
}

// tellsSecret says that a text has a secret in it that the texts around it do not announce: a password in a URL or among other settings,
// or a key.
func tellsSecret(text string) bool {
	return strings.Contains(text, "PRIVATE KEY-----") ||
		regexp.MustCompile(`://[^/\s]*:[^/\s]*@`).MatchString(text) ||
		regexp.MustCompile(`(?i)(passw|passphrase|pwd|secret|token|key|credential|authorization)[a-z0-9_-]*["']?\s*[=:]\s*\S`).MatchString(text)
}

// comparison of the values of two slots.
type comparison struct {
	service         string
	live, candidate v1alpha1.Slot
	hide            func(string) string
}

// lines are the differences, one in each, for people. What slots differ in by being two is none: a text that is the same but for the
// slot's name or its Helm release's. References to images are what a release is about, and stay.
func (c comparison) lines(live, candidate map[string]leaf) []string {
	paths := maps.Clone(live)
	maps.Copy(paths, candidate)
	var out []string
	left := 0
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		a, inLive := live[path]
		b, inCandidate := candidate[path]
		if inLive && inCandidate && reflect.DeepEqual(a.value, b.value) || c.bySlot(a.value, b.value) {
			continue
		}
		if len(out) == maxDifferences {
			left++
			continue
		}
		what := c.shown(a, inLive) + " → " + c.shown(b, inCandidate)
		switch {
		case c.generated(a.value) && c.generated(b.value):
			// Its name is made of what is in it.
			what = "(changed: other variables in it)"
		case a.secret || b.secret || c.shown(a, inLive) == c.shown(b, inCandidate):
			what = changed
		}
		out = append(out, cut(c.hide(oneLine(path))+": "+what, maxDifference))
	}
	if left > 0 {
		out = append(out, fmt.Sprintf("… and %d more", left))
	}
	return out
}

// bySlot says whether two values differ only in that they are those of two slots. Which values sluice.yaml makes for each slot is not
// stored; it makes them of the slot's name.
func (c comparison) bySlot(live, candidate any) bool {
	if c.live == c.candidate {
		return false
	}
	a, isText := live.(string)
	b, ok := candidate.(string)
	if !ok || !isText && live != nil {
		return false
	}
	if c.live == v1alpha1.SlotDirect || c.candidate == v1alpha1.SlotDirect {
		// The one slot has the names of the chart, which are mostly not set at all.
		from, to := c.live.HelmRelease(c.service), c.candidate.HelmRelease(c.service)
		return a != "" && strings.ReplaceAll(a, from, to) == b || a == "" && b == to
	}
	return a != b && strings.ReplaceAll(a, string(c.live), string(c.candidate)) == b
}

// generated says whether a value is the name of a Secret that Sluice made.
func (c comparison) generated(value any) bool {
	text, _ := value.(string)
	return regexp.MustCompile(`^` + regexp.QuoteMeta(c.service) + `-(variables|references)-[0-9a-f]+$`).MatchString(text)
}

// shown is a value for people, without secrets and in one line.
func (c comparison) shown(l leaf, there bool) string {
	if !there {
		return nothing
	}
	if text, ok := l.value.(string); ok {
		if tellsSecret(text) && !regexp.MustCompile(`^\S+@sha256:[0-9a-f]{64}$`).MatchString(text) {
			return changed
		}
		l.value = c.hide(text)
	}
	said := c.hide(written(l.value))
	said = regexp.MustCompile(`(sha256:[0-9a-f]{12})[0-9a-f]{52}`).ReplaceAllString(said, "$1…")
	if letters := []rune(said); len(letters) > maxShown {
		// Tags and digests are at the end.
		said = string(letters[:maxShown/2]) + "…" + string(letters[len(letters)-maxShown/2+1:])
	}
	return said
}

// written is a value as YAML writes it, in one line: a text that looks like a number is told from the number.
func written(value any) string {
	text, err := yaml.Marshal(value)
	said := strings.TrimSuffix(string(text), "\n")
	if err != nil || strings.Contains(said, "\n") {
		return oneLine(fmt.Sprint(value))
	}
	return said
}

// oneLine writes a text that is none as a quoted one.
func oneLine(text string) string {
	if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return strconv.Quote(text)
	}
	return text
}

// cut shortens a line to so many characters.
func cut(line string, most int) string {
	if letters := []rune(line); len(letters) > most {
		return string(letters[:most-1]) + "…"
	}
	return line
}
