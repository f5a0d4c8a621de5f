package helm

import (
	"bytes"
	"fmt"
	"maps"
	"path"
	"slices"
	"sort"
	"strings"

	"helm.sh/helm/v4/pkg/chart/common"
	chartcommon "helm.sh/helm/v4/pkg/chart/common/util"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	chartutil "helm.sh/helm/v4/pkg/chart/v2/util"
	"helm.sh/helm/v4/pkg/engine"
	releasev1 "helm.sh/helm/v4/pkg/release/v1"
	releaseutil "helm.sh/helm/v4/pkg/release/v1/util"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"github.com/sluice-dev/sluice/internal/deploy"
	"github.com/sluice-dev/sluice/internal/fault"
)

// filenameAnnotation is how Helm's post-render stream says which template a document came from.
const filenameAnnotation = "postrenderer.helm.sh/postrender-filename"

// object is one rendered document with the template it came from.
type object struct {
	template string
	*unstructured.Unstructured
}

func (o object) id() string { return o.GetKind() + "/" + o.GetName() }

// hook says whether Helm runs the object at an event instead of keeping it.
func (o object) hook() bool { return o.GetAnnotations()[releasev1.HookAnnotation] != "" }

func (o object) copy() object { return object{template: o.template, Unstructured: o.DeepCopy()} }

// rendering asks for the chart under one release name.
type rendering struct {
	release  string
	values   map[string]any
	revision int
	upgrade  bool
}

// loadChart unpacks a release's chart. Rendering changes a chart, so that each rendering takes its own.
func loadChart(req deploy.Request) (*chart.Chart, error) {
	c, err := loader.LoadArchive(bytes.NewReader(req.Release.ChartArchive))
	if err != nil {
		return nil, fault.New(fault.Fatal, "chart", "the chart of release %s %s cannot be read: %w", req.Release.Service, req.Release.Version, err).
			WithHint("build the release again")
	}
	return c, nil
}

// render renders the chart as Helm would, hooks included, before any post-renderer.
func (s *session) render(req deploy.Request, r rendering) ([]object, error) {
	c, values, err := s.ingredients(req, r)
	if err != nil {
		return nil, err
	}
	files, err := s.engine().RenderWithContext(s.ctx, c, values)
	if err != nil {
		return nil, fault.New(fault.Fatal, "render", "chart %s: %w", c.Name(), err).
			WithHint("try: helm template %s CHART -f VALUES", r.release)
	}
	objects, err := parseFiles(files)
	if err != nil {
		return nil, err
	}
	return objects, refuseTainted(req, c, values, objects)
}

// ingredients loads a release's chart with what its templates are rendered with: the values, which must fit its schema, and what the
// cluster can do. Where there is no cluster, nothing is known of its version.
func (s *session) ingredients(req deploy.Request, r rendering) (*chart.Chart, common.Values, error) {
	c, err := loadChart(req)
	if err != nil {
		return nil, nil, err
	}
	s.definitions = len(c.CRDObjects()) > 0
	caps, err := s.caps.get()
	if err != nil {
		return nil, nil, err
	}
	if v := c.Metadata.KubeVersion; v != "" && s.getter != nil && !chartutil.IsCompatibleRange(v, caps.KubeVersion.String()) {
		return nil, nil, fault.New(fault.Fatal, "chart", "chart %s wants Kubernetes %s, the cluster has %s", c.Name(), v, caps.KubeVersion.Version)
	}
	if err := chartutil.ProcessDependencies(c, r.values); err != nil {
		return nil, nil, fault.New(fault.Fatal, "chart", "the dependencies of chart %s: %w", c.Name(), err)
	}
	values, err := chartcommon.ToRenderValuesWithSchemaValidation(c, r.values, common.ReleaseOptions{
		Name: r.release, Namespace: s.scope.Namespace, Revision: r.revision, IsInstall: !r.upgrade, IsUpgrade: r.upgrade,
	}, caps, s.anyValues)
	if err != nil {
		return nil, nil, wrongValues(req, c.Name(), err)
	}
	return c, values, nil
}

// engine renders templates; those that look things up find nothing where there is no cluster.
func (s *session) engine() engine.Engine {
	if s.getter == nil {
		return engine.Engine{}
	}
	return engine.New(s.getter.config)
}

func parseFiles(files map[string]string) ([]object, error) {
	var out []object
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if strings.HasPrefix(path.Base(name), "_") || strings.HasSuffix(name, "NOTES.txt") {
			continue
		}
		objects, err := parseDocuments(name, files[name])
		if err != nil {
			return nil, err
		}
		out = append(out, objects...)
	}
	return out, nil
}

// parseDocuments splits a stream in its order. A document's own filename annotation or `# Source:` line names its template.
func parseDocuments(template, stream string) ([]object, error) {
	split := releaseutil.SplitManifests(stream)
	keys := slices.Collect(maps.Keys(split))
	sort.Sort(releaseutil.BySplitManifestsOrder(keys))
	var out []object
	for _, key := range keys {
		objects, err := parseDocument(template, split[key])
		if err != nil {
			return nil, err
		}
		out = append(out, objects...)
	}
	return out, nil
}

func parseDocument(template, doc string) ([]object, error) {
	if source, ok := strings.CutPrefix(strings.TrimSpace(doc), "# Source: "); ok {
		template, _, _ = strings.Cut(source, "\n")
	}
	raw, err := yaml.YAMLToJSON([]byte(doc))
	if err != nil {
		return nil, fault.New(fault.Fatal, "render", "%w", &unreadable{template, err}).WithHint("the template renders no YAML")
	}
	if len(raw) == 0 || string(raw) == "null" {
		return nil, nil
	}
	u := &unstructured.Unstructured{}
	if err := u.UnmarshalJSON(raw); err != nil {
		return nil, fault.New(fault.Fatal, "render", "%w", &unreadable{template, err}).WithHint("the template renders no Kubernetes object")
	}
	if a := u.GetAnnotations(); a[filenameAnnotation] != "" {
		template = a[filenameAnnotation]
		delete(a, filenameAnnotation)
		u.SetAnnotations(a)
	}
	if !u.IsList() {
		return []object{{template: template, Unstructured: u}}, nil
	}
	var out []object
	err = u.EachListItem(func(item runtime.Object) error {
		one, ok := item.(*unstructured.Unstructured)
		if !ok {
			return fmt.Errorf("%s: a list holds a %T", template, item)
		}
		out = append(out, object{template: template, Unstructured: one})
		return nil
	})
	return out, err
}

// stream writes objects so that Helm files each under its template again.
func stream(objects []object) (*bytes.Buffer, error) {
	var out bytes.Buffer
	for _, o := range objects {
		o = o.copy()
		annotate(o, filenameAnnotation, o.template)
		text, err := marshal(o)
		if err != nil {
			return nil, err
		}
		out.WriteString("---\n" + text)
	}
	return &out, nil
}

// manifest writes objects as Helm stores them.
func manifest(objects []object) (string, error) {
	var out strings.Builder
	for _, o := range objects {
		text, err := marshal(o)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&out, "---\n# Source: %s\n%s", o.template, text)
	}
	return out.String(), nil
}

func marshal(o object) (string, error) {
	b, err := yaml.Marshal(o.Object)
	if err != nil {
		return "", fmt.Errorf("write %s of %s: %w", o.id(), o.template, err)
	}
	return string(b), nil
}

func annotate(o object, key, value string) {
	a := o.GetAnnotations()
	if a == nil {
		a = map[string]string{}
	}
	a[key] = value
	o.SetAnnotations(a)
}

func label(o object, labels map[string]string) {
	l := o.GetLabels()
	if l == nil {
		l = map[string]string{}
	}
	maps.Copy(l, labels)
	o.SetLabels(l)
}
