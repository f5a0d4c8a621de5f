package load

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"
)

func TestStreamCountsWhatUsersNotice(t *testing.T) {
	var n atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if n.Add(1)%4 == 0 {
			http.Error(w, "broken", http.StatusBadGateway)
		}
	}))
	defer server.Close()
	stream := Start(context.Background(), Options{URL: server.URL, Rate: 200})
	for stream.Snapshot().Requests < 40 {
		time.Sleep(5 * time.Millisecond)
	}
	r := stream.Stop()
	if r.Requests != int(n.Load()) {
		t.Errorf("%d requests counted, the server saw %d", r.Requests, n.Load())
	}
	if want := r.Requests / 4; r.Failed != want || r.Reasons["status 502: broken"] != want {
		t.Errorf("%d of %d failed for %v, want %d", r.Failed, r.Requests, r.Reasons, want)
	}
	if len(r.Latencies) != r.Requests-r.Failed {
		t.Errorf("%d latencies for %d good answers", len(r.Latencies), r.Requests-r.Failed)
	}
}

func TestStreamDoesNotWaitForAnswers(t *testing.T) {
	release := make(chan struct{})
	var inFlight atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		inFlight.Add(1)
		<-release
	}))
	defer server.Close()
	stream := Start(context.Background(), Options{URL: server.URL, Rate: 200})
	for inFlight.Load() < 20 {
		time.Sleep(5 * time.Millisecond)
	}
	close(release)
	if r := stream.Stop(); r.Failed != 0 || r.Requests < 20 {
		t.Errorf("%v", r)
	}
}
