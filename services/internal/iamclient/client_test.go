package iamclient

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"
)

func newClient(t *testing.T, handler http.HandlerFunc) *Client {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	base, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	c := New(base, 200*time.Millisecond)
	t.Cleanup(c.Close)
	return c
}

func TestDo(t *testing.T) {
	c := newClient(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Location", "/v1/users/1")
		w.WriteHeader(http.StatusConflict)
		_, _ = io.WriteString(w, r.Method+" "+r.RequestURI+" "+r.Header.Get("Content-Type")+" "+string(body))
	})
	got, err := c.Do(t.Context(), Request{Method: "POST", Path: "/v1/users/a%2Fb", Query: "x=1", Body: []byte(`{}`)})
	if err != nil {
		t.Fatal(err)
	}
	if want := "POST /v1/users/a%2Fb?x=1 application/json {}"; string(got.Body) != want || got.Status != 409 || got.Location != "/v1/users/1" {
		t.Errorf("got %d %q", got.Status, got.Body)
	}
}

func TestNoAnswer(t *testing.T) {
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	for name, handler := range map[string]http.HandlerFunc{
		"silent": func(http.ResponseWriter, *http.Request) { <-release },
		"aborts": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"half": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "10")
			_, _ = io.WriteString(w, "half")
		},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(handler)
			t.Cleanup(server.CloseClientConnections)
			base, _ := url.Parse(server.URL)
			_, err := New(base, 100*time.Millisecond).Do(t.Context(), Request{Method: "GET", Path: "/"})
			if !errors.Is(err, ErrUnavailable) {
				t.Errorf("err = %v", err)
			}
		})
	}
}

func TestRedirectIsNotFollowed(t *testing.T) {
	c := newClient(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) })
	if got, err := c.Do(t.Context(), Request{Method: "GET", Path: "/"}); err != nil || got.Status != http.StatusFound {
		t.Errorf("got %+v, err = %v", got, err)
	}
}

func TestReady(t *testing.T) {
	status := http.StatusOK
	c := newClient(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/readyz" {
			t.Errorf("path = %q", r.URL.Path)
		}
		w.WriteHeader(status)
	})
	if err := c.Ready(t.Context()); err != nil {
		t.Error(err)
	}
	status = http.StatusServiceUnavailable
	if err := c.Ready(t.Context()); !errors.Is(err, ErrUnavailable) {
		t.Errorf("err = %v", err)
	}
}
