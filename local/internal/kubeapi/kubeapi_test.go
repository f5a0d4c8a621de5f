package kubeapi

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestPathOf(t *testing.T) {
	for name, test := range map[string]struct{ object, want, problem string }{
		"core":       {object: "apiVersion: v1\nkind: Namespace\nmetadata: {name: box}", want: "/api/v1/namespaces/box"},
		"group":      {object: "apiVersion: a.io/v1\nkind: ClusterRole\nmetadata: {name: sys:x}", want: "/apis/a.io/v1/clusterroles/sys:x"},
		"namespaced": {object: "apiVersion: v1\nkind: Service\nmetadata: {name: s, namespace: box}", want: "/api/v1/namespaces/box/services/s"},
		"unknown":    {object: "apiVersion: v1\nkind: Pod\nmetadata: {name: p, namespace: box}", problem: "not one that a node is set up with"},
		"no name":    {object: "apiVersion: v1\nkind: Namespace", problem: "no name"},
		"namespace":  {object: "apiVersion: v1\nkind: Service\nmetadata: {name: s}", problem: "does not fit"},
		"no YAML":    {object: "a: [", problem: "read an object"},
	} {
		got, err := pathOf([]byte(test.object))
		if got != test.want || (test.problem == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), test.problem) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

func newClient(t *testing.T, handler http.HandlerFunc) *Client {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return &Client{server: server.URL, http: server.Client()}
}

func TestApplyIsServerSideAndForced(t *testing.T) {
	object := []byte("apiVersion: v1\nkind: Namespace\nmetadata: {name: box}")
	var seen string
	client := newClient(t, func(_ http.ResponseWriter, request *http.Request) {
		body, _ := io.ReadAll(request.Body)
		seen = request.Method + " " + request.URL.String() + " " + request.Header.Get("Content-Type") + " " + string(body)
	})
	if err := client.Apply(context.Background(), "me", object); err != nil {
		t.Fatal(err)
	}
	want := "PATCH /api/v1/namespaces/box?fieldManager=me&force=true application/apply-patch+yaml " + string(object)
	if seen != want {
		t.Errorf("sent %q, want %q", seen, want)
	}
}

func TestAbsentAndUnknownAreTwoErrors(t *testing.T) {
	for status, absent := range map[int]bool{http.StatusNotFound: true, http.StatusForbidden: false, http.StatusInternalServerError: false} {
		client := newClient(t, func(answer http.ResponseWriter, _ *http.Request) {
			answer.WriteHeader(status)
			_, _ = io.WriteString(answer, `{"kind":"Status","message":"because"}`)
		})
		err := client.Get(context.Background(), "/api/v1/nodes/n", &struct{}{})
		if err == nil || errors.Is(err, ErrNotFound) != absent || !strings.Contains(err.Error(), "because") {
			t.Errorf("status %d: %v", status, err)
		}
	}
}

func TestNewRefusesWhatIsNoCertificate(t *testing.T) {
	if _, err := New("https://127.0.0.1:1", nil, []byte("x"), []byte("y")); err == nil {
		t.Error("a client without a certificate")
	}
}
