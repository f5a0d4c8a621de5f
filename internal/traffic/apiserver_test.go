package traffic_test

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/rest"

	"github.com/sluice-dev/sluice/internal/traffic/traffictest"
)

type document = map[string]any

// apiServer is a fake of the Kubernetes API server, as far as routers go: create, get, list by label, update and delete, with
// resourceVersion and preconditions compared and metadata.generation counted as the real one does. client-go's own fakes compare nothing.
type apiServer struct {
	now func() time.Time

	mu      sync.Mutex
	version int
	objects map[string]document
	// left is how many more writes succeed; negative: all.
	left int
	// writes lists what was written: verb, resource and name.
	writes []string
	// seen runs after every write.
	seen func()
	// lagging makes the Gateway's controller stand still; it otherwise accepts every HTTPRoute as soon as it is written.
	lagging bool
	// before runs right before a write takes effect, without the lock.
	before func(write string)
}

func newAPIServer(now func() time.Time) *apiServer {
	return &apiServer{now: now, objects: map[string]document{}, left: -1}
}

// config is for real Kubernetes clients, whose requests go straight to the server without a network.
func (s *apiServer) config() *rest.Config {
	return &rest.Config{
		Host: "http://apiserver", Transport: s, QPS: -1,
		ContentConfig: rest.ContentConfig{ContentType: "application/json", AcceptContentTypes: "application/json"},
	}
}

// allow makes every write after the next n fail; a negative n heals.
func (s *apiServer) allow(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.left = n
}

// written returns what was written since the last call.
func (s *apiServer) written() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.writes
	s.writes = nil
	return out
}

// get returns a copy of an object, nil where it is not there.
func (s *apiServer) get(resource, name string) document {
	s.mu.Lock()
	defer s.mu.Unlock()
	o, ok := s.objects[resource+"/"+name]
	if !ok {
		return nil
	}
	return clone(o)
}

// put writes an object past all conditions, as a foreign hand or a controller.
func (s *apiServer) put(resource, text string) {
	var o document
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		panic(fmt.Sprintf("%v in %s", err, text))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.store(resource+"/"+meta(o)["name"].(string), o)
}

// change edits an object as a foreign hand.
func (s *apiServer) change(t *testing.T, resource, name string, edit func(document)) {
	t.Helper()
	o := s.get(resource, name)
	if o == nil {
		t.Fatalf("there is no %s %s; there are %s", resource, name, slices.Sorted(maps.Keys(s.objects)))
	}
	edit(o)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.store(resource+"/"+name, o)
}

// RoundTrip implements http.RoundTripper.
func (s *apiServer) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	w := httptest.NewRecorder()
	_, path, _ := strings.Cut(r.URL.Path, "/namespaces/")
	parts := append(strings.Split(path, "/"), "", "")
	resource, name := parts[1], parts[2]
	var sent document
	if r.Body != nil {
		if err := json.NewDecoder(r.Body).Decode(&sent); err != nil && err != io.EOF {
			return nil, err
		}
	}
	if name == "" && r.Method == http.MethodPost {
		name = meta(sent)["name"].(string)
	}
	if r.Method != http.MethodGet {
		if s.before != nil {
			s.before(r.Method + " " + resource + "/" + name)
		}
		if !s.spend() {
			return nil, traffictest.ErrBroken
		}
	}
	s.serve(w, r, resource, name, sent)
	if s.seen != nil && r.Method != http.MethodGet && w.Code < 300 {
		s.seen()
	}
	return w.Result(), nil
}

func (s *apiServer) spend() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.left > 0 {
		s.left--
		return true
	}
	return s.left < 0
}

func (s *apiServer) serve(w http.ResponseWriter, r *http.Request, resource, name string, sent document) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := resource + "/" + name
	old, exists := s.objects[key]
	conditions := meta(sent)
	if r.Method == http.MethodDelete {
		conditions, _ = sent["preconditions"].(document)
	}
	version, uid := conditions["resourceVersion"], conditions["uid"]
	switch {
	case r.Method == http.MethodGet && name == "":
		s.list(w, r, resource)
	case r.Method == http.MethodPost && exists:
		refuse(w, http.StatusConflict, "AlreadyExists", key+" already exists")
	case r.Method != http.MethodPost && !exists:
		refuse(w, http.StatusNotFound, "NotFound", key+" not found")
	case exists && version != nil && version != meta(old)["resourceVersion"], exists && uid != nil && uid != meta(old)["uid"]:
		refuse(w, http.StatusConflict, "Conflict", "the object has been modified")
	case r.Method == http.MethodGet:
		answer(w, old)
	case r.Method == http.MethodDelete:
		delete(s.objects, key)
		s.writes = append(s.writes, "delete "+key)
		answer(w, document{"kind": "Status", "apiVersion": "v1", "status": "Success"})
	default:
		s.writes = append(s.writes, map[string]string{http.MethodPost: "create ", http.MethodPut: "update "}[r.Method]+key)
		answer(w, s.store(key, sent))
	}
}

func (s *apiServer) store(key string, o document) document {
	o = clone(o)
	s.version++
	m := meta(o)
	m["namespace"], m["resourceVersion"] = "shop-test", strconv.Itoa(s.version)
	if old, exists := s.objects[key]; exists {
		m["uid"], m["creationTimestamp"], m["generation"] = meta(old)["uid"], meta(old)["creationTimestamp"], meta(old)["generation"]
		if !reflect.DeepEqual(clone(o)["spec"], old["spec"]) {
			m["generation"] = m["generation"].(float64) + 1
		}
	} else {
		m["uid"], m["generation"], m["creationTimestamp"] = "uid-"+strconv.Itoa(s.version), 1.0, s.now().UTC().Format(time.RFC3339)
	}
	o["metadata"] = m
	if strings.HasPrefix(key, "httproutes/") {
		delete(o, "status")
		if old, exists := s.objects[key]; exists && old["status"] != nil {
			o["status"] = old["status"]
		}
		if !s.lagging {
			o["status"] = accepted(o)
		}
	}
	s.objects[key] = clone(o)
	return o
}

// accepted is what a Gateway's controller answers to an HTTPRoute.
func accepted(o document) document {
	parents := []any{}
	for _, ref := range o["spec"].(document)["parentRefs"].([]any) {
		conditions := []any{}
		for _, kind := range []string{"Accepted", "ResolvedRefs"} {
			conditions = append(conditions, document{"type": kind, "status": "True", "reason": kind, "message": "", "observedGeneration": meta(o)["generation"]})
		}
		parents = append(parents, document{"parentRef": ref, "controllerName": "test.example/controller", "conditions": conditions})
	}
	return document{"parents": parents}
}

func (s *apiServer) list(w http.ResponseWriter, r *http.Request, resource string) {
	parsed, err := labels.Parse(r.URL.Query().Get("labelSelector"))
	if err != nil {
		refuse(w, http.StatusBadRequest, "BadRequest", err.Error())
		return
	}
	items := []any{}
	for _, key := range slices.Sorted(maps.Keys(s.objects)) {
		set := labels.Set{}
		have, _ := meta(s.objects[key])["labels"].(document)
		for k, v := range have {
			set[k] = v.(string)
		}
		if strings.HasPrefix(key, resource+"/") && parsed.Matches(set) {
			items = append(items, s.objects[key])
		}
	}
	kinds := map[string]string{"services": "Service", "ingresses": "Ingress", "endpointslices": "EndpointSlice", "httproutes": "HTTPRoute"}
	version, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(r.URL.Path, "/apis/"), "/api/"), "/namespaces/")
	answer(w, document{"kind": kinds[resource] + "List", "apiVersion": version, "metadata": document{"resourceVersion": strconv.Itoa(s.version)}, "items": items})
}

func meta(o document) document {
	m, _ := o["metadata"].(document)
	if m == nil {
		m = document{}
	}
	return m
}

func clone(o document) document {
	text, err := json.Marshal(o)
	if err != nil {
		panic(err)
	}
	var out document
	if err := json.Unmarshal(text, &out); err != nil {
		panic(err)
	}
	return out
}

func answer(w http.ResponseWriter, body any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(body)
}

func refuse(w http.ResponseWriter, code int, reason, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(document{
		"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": message,
	})
}
