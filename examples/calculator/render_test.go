// Package calculator tests what the services do not contain: the chart, its values and sluice.yaml. It holds nothing else.
package calculator

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"helm.sh/helm/v4/pkg/chart/common"
	chartutil "helm.sh/helm/v4/pkg/chart/common/util"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
	"sigs.k8s.io/yaml"
)

const images = `
images:
  frontend: registry.example.com/calculator/frontend@sha256:aaaa
  backend: registry.example.com/calculator/backend@sha256:bbbb
`

// objects are rendered objects by kind and name, such as "Service/calculator-frontend".
type objects map[string]metav1.Object

// render renders the chart under a release name; later values win. It also returns the notes.
func render(release string, values ...string) (objects, string, error) {
	chart, err := loader.Load("chart")
	if err != nil {
		return nil, "", err
	}
	merged := map[string]any{}
	for _, text := range values {
		more := map[string]any{}
		if err := yaml.Unmarshal([]byte(text), &more); err != nil {
			return nil, "", err
		}
		merged = loader.MergeMaps(merged, more)
	}
	options := common.ReleaseOptions{Name: release, Namespace: "somewhere", Revision: 1, IsInstall: true}
	renderValues, err := chartutil.ToRenderValues(chart, merged, options, nil)
	if err != nil {
		return nil, "", err
	}
	files, err := engine.Engine{}.RenderWithContext(context.Background(), chart, renderValues)
	if err != nil {
		return nil, "", err
	}
	all, notes := objects{}, ""
	for name, text := range files {
		switch {
		case strings.HasSuffix(name, ".yaml"):
			if err := all.add(text); err != nil {
				return nil, "", fmt.Errorf("%s: %w", name, err)
			}
		case strings.HasSuffix(name, "NOTES.txt"):
			notes = text
		}
	}
	return all, notes, nil
}

// add decodes the documents of a file strictly: a field that Kubernetes does not know, or a key given twice, is an error.
func (all objects) add(text string) error {
	documents := utilyaml.NewYAMLReader(bufio.NewReader(strings.NewReader(text)))
	for {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		var kind metav1.TypeMeta
		if err := yaml.Unmarshal(document, &kind); err != nil {
			return err
		}
		if kind.Kind == "" {
			if len(bytes.TrimSpace(document)) > 0 && !bytes.HasPrefix(bytes.TrimSpace(document), []byte("---")) {
				return fmt.Errorf("a document without a kind: %q", document)
			}
			continue
		}
		object, err := empty(kind)
		if err != nil {
			return err
		}
		if err := yaml.UnmarshalStrict(document, object); err != nil {
			return fmt.Errorf("%s: %w", kind.Kind, err)
		}
		key := kind.Kind + "/" + object.GetName()
		if all[key] != nil {
			return fmt.Errorf("%s is rendered twice", key)
		}
		all[key] = object
	}
}

func empty(kind metav1.TypeMeta) (metav1.Object, error) {
	switch kind.APIVersion + " " + kind.Kind {
	case "apps/v1 Deployment":
		return &appsv1.Deployment{}, nil
	case "v1 Service":
		return &corev1.Service{}, nil
	case "v1 Pod":
		return &corev1.Pod{}, nil
	case "v1 PersistentVolumeClaim":
		return &corev1.PersistentVolumeClaim{}, nil
	case "batch/v1 Job":
		return &batchv1.Job{}, nil
	case "policy/v1 PodDisruptionBudget":
		return &policyv1.PodDisruptionBudget{}, nil
	case "autoscaling/v2 HorizontalPodAutoscaler":
		return &autoscalingv2.HorizontalPodAutoscaler{}, nil
	case "networking.k8s.io/v1 Ingress":
		return &networkingv1.Ingress{}, nil
	case "gateway.networking.k8s.io/v1 HTTPRoute":
		return &gatewayv1.HTTPRoute{}, nil
	default:
		return nil, fmt.Errorf("an object of a kind that this test does not know: %s %s", kind.APIVersion, kind.Kind)
	}
}

func mustRender(t *testing.T, release string, values ...string) objects {
	t.Helper()
	all, _, err := render(release, append([]string{images}, values...)...)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// object returns the object of a name; its kind is that of T.
func object[T metav1.Object](t *testing.T, all objects, key string) T {
	t.Helper()
	found, ok := all[key].(T)
	if !ok {
		t.Fatalf("%s is not rendered", key)
	}
	return found
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
