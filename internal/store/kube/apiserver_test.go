package kube_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// apiServer is a fake of the Kubernetes API server, as far as ConfigMaps and Leases go: create, get, list by label, update,
// merge patch and delete, with the resourceVersion compared as the real one does. client-go's own fake compares nothing.
type apiServer struct {
	mu      sync.Mutex
	version int
	objects map[string]map[string]any
	writes  int
}

func newAPIServer() *apiServer { return &apiServer{objects: map[string]map[string]any{}} }

// link is one process's way to the server.
type link struct {
	server *apiServer

	mu sync.Mutex
	// cut makes every request hang until its context ends, as packets into a dead network do.
	cut bool
	// lose answers this many writes with an error after they took effect.
	lose int
}

// client returns a real Kubernetes client whose requests go straight to the server, without a network.
func (l *link) client(t *testing.T) kubernetes.Interface {
	t.Helper()
	asJSON := rest.ContentConfig{ContentType: "application/json", AcceptContentTypes: "application/json"}
	client, err := kubernetes.NewForConfig(&rest.Config{Host: "http://apiserver", Transport: l, QPS: -1, ContentConfig: asJSON})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func (l *link) set(change func(*link)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change(l)
}

func (l *link) RoundTrip(r *http.Request) (*http.Response, error) {
	l.mu.Lock()
	cut := l.cut
	l.mu.Unlock()
	if cut {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	w := httptest.NewRecorder()
	l.server.serve(w, r)
	l.mu.Lock()
	defer l.mu.Unlock()
	if r.Method != http.MethodGet && l.lose > 0 {
		l.lose--
		return nil, context.DeadlineExceeded
	}
	return w.Result(), nil
}

// written counts the writes that took effect.
func (s *apiServer) written() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.writes
}

// serve understands …/namespaces/{namespace}/{resource}[/{name}].
func (s *apiServer) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, path, ok := strings.Cut(r.URL.Path, "/namespaces/")
	parts := strings.Split(path, "/")
	if !ok || len(parts) < 2 {
		answerError(w, apierrors.NewBadRequest("the fake does not serve "+r.URL.Path))
		return
	}
	resource := schema.GroupResource{Resource: parts[1]}
	var body []byte
	var err error
	if r.Body != nil {
		body, err = io.ReadAll(r.Body)
	}
	if err != nil || len(body) > 1<<20 {
		answerError(w, apierrors.NewRequestEntityTooLargeError("limit is 1048576"))
		return
	}
	if parts[0] == "missing" {
		answerError(w, apierrors.NewNotFound(schema.GroupResource{Resource: "namespaces"}, parts[0]))
		return
	}
	name, collection := "", strings.Join(parts[:2], "/")+"/"
	if len(parts) > 2 {
		name = parts[2]
	}
	if r.Method == http.MethodGet && name == "" {
		s.list(w, collection, r.URL.Query().Get("labelSelector"))
		return
	}
	s.one(w, r.Method, collection, name, resource, body)
}

func (s *apiServer) one(w http.ResponseWriter, method, collection, name string, resource schema.GroupResource, body []byte) {
	sent := map[string]any{}
	if len(body) > 0 {
		if err := json.Unmarshal(body, &sent); err != nil {
			answerError(w, apierrors.NewBadRequest(err.Error()))
			return
		}
	}
	if method == http.MethodPost {
		name, _ = meta(sent)["name"].(string)
	}
	old, exists := s.objects[collection+name]
	wanted, _ := meta(sent)["resourceVersion"].(string)
	if p, ok := sent["preconditions"].(map[string]any); ok {
		wanted, _ = p["resourceVersion"].(string)
	}
	switch {
	case method == http.MethodPost && exists:
		answerError(w, apierrors.NewAlreadyExists(resource, name))
	case method != http.MethodPost && !exists:
		answerError(w, apierrors.NewNotFound(resource, name))
	case exists && wanted != "" && wanted != meta(old)["resourceVersion"]:
		answerError(w, apierrors.NewConflict(resource, name, context.DeadlineExceeded))
	case method == http.MethodGet:
		answer(w, old)
	case method == http.MethodDelete:
		delete(s.objects, collection+name)
		answer(w, metav1.Status{Status: metav1.StatusSuccess})
	case method == http.MethodPatch:
		s.put(w, collection+name, merge(old, sent))
	default:
		s.put(w, collection+name, sent)
	}
}

func (s *apiServer) put(w http.ResponseWriter, key string, object map[string]any) {
	set, _ := meta(object)["labels"].(map[string]any)
	for k, v := range set {
		if problems := validation.IsValidLabelValue(v.(string)); len(problems) > 0 {
			answerError(w, apierrors.NewBadRequest("label "+k+": "+problems[0]))
			return
		}
	}
	s.version++
	s.writes++
	namespace, _, _ := strings.Cut(key, "/")
	m := meta(object)
	m["resourceVersion"], m["namespace"] = strconv.Itoa(s.version), namespace
	object["metadata"] = m
	s.objects[key] = object
	answer(w, object)
}

func (s *apiServer) list(w http.ResponseWriter, collection, selector string) {
	parsed, err := labels.Parse(selector)
	if err != nil {
		answerError(w, apierrors.NewBadRequest(err.Error()))
		return
	}
	items := []any{}
	for key, object := range s.objects {
		set := labels.Set{}
		have, _ := meta(object)["labels"].(map[string]any)
		for k, v := range have {
			set[k] = v.(string)
		}
		if strings.HasPrefix(key, collection) && parsed.Matches(set) {
			items = append(items, object)
		}
	}
	answer(w, map[string]any{"items": items})
}

func meta(object map[string]any) map[string]any {
	m, _ := object["metadata"].(map[string]any)
	if m == nil {
		m = map[string]any{}
	}
	return m
}

// merge is RFC 7386 into a copy.
func merge(old, patch map[string]any) map[string]any {
	merged := map[string]any{}
	for k, v := range old {
		merged[k] = v
	}
	for k, v := range patch {
		from, isMap := v.(map[string]any)
		into, _ := merged[k].(map[string]any)
		switch {
		case v == nil:
			delete(merged, k)
		case isMap:
			merged[k] = merge(into, from)
		default:
			merged[k] = v
		}
	}
	return merged
}

func answer(w http.ResponseWriter, body any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(body)
}

func answerError(w http.ResponseWriter, err *apierrors.StatusError) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(int(err.ErrStatus.Code))
	status := err.ErrStatus
	status.Kind, status.APIVersion = "Status", "v1"
	_ = json.NewEncoder(w).Encode(status)
}
