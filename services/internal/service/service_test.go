package service

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"procession.example/services/internal/config"
	"procession.example/services/internal/httpjson"
	"procession.example/services/internal/logging"
	"procession.example/services/internal/metrics"
)

func program(app App, err error) Program {
	return Program{
		Name: "test", Version: "1.2.3", Prefix: "TEST", Listen: "127.0.0.1:0",
		Setup: func(env *config.Env) Start {
			env.Folder("TEST_DATA", "/")
			return func(Kit) (App, error) { return app, err }
		},
	}
}

func newTestApp(handler http.HandlerFunc) App {
	routes := http.NewServeMux()
	routes.HandleFunc("GET /jobs/{id}", handler)
	return App{Handler: httpjson.Router(routes), Ready: func(context.Context) error { return nil }}
}

func noHandler(http.ResponseWriter, *http.Request) {}

func lookup(values map[string]string) config.Lookup {
	return func(name string) (string, bool) {
		value, ok := values[name]
		return value, ok
	}
}

func TestCommandLine(t *testing.T) {
	for _, test := range []struct {
		args   []string
		env    map[string]string
		code   int
		stdout string
		stderr []string
	}{
		{[]string{"--version"}, nil, 0, "1.2.3\n", nil},
		{[]string{"-h"}, nil, 0, "", []string{"-healthcheck", "-version"}},
		{[]string{"--unknown"}, nil, 2, "", []string{"unknown"}},
		{[]string{"serve"}, nil, 2, "", []string{`unexpected argument "serve"`}},
		{nil, map[string]string{"TEST_LISTEN": "x", "PROCESSION_LOG_LEVEL": "loud", "TEST_STOP_TIMEOUT": "1h", "TEST_DATA": "data"}, 2, "",
			[]string{`"name":"TEST_LISTEN"`, `"name":"PROCESSION_LOG_LEVEL"`, `"name":"TEST_STOP_TIMEOUT"`, `"name":"TEST_DATA"`, `"got":"loud"`, `"rule":`}},
		{[]string{"--healthcheck"}, map[string]string{"TEST_LISTEN": "x"}, 1, "", []string{"TEST_LISTEN"}},
		{[]string{"--healthcheck"}, nil, 1, "", []string{"port 0"}},
	} {
		var stdout, stderr bytes.Buffer
		code := program(App{}, nil).Main(test.args, lookup(test.env), &stdout, &stderr)
		if code != test.code || stdout.String() != test.stdout {
			t.Errorf("%q: code %d, stdout %q, stderr %q", test.args, code, &stdout, &stderr)
		}
		for _, part := range test.stderr {
			if !strings.Contains(stderr.String(), part) {
				t.Errorf("%q: stderr %q lacks %q", test.args, &stderr, part)
			}
		}
	}
}

func TestStartFailure(t *testing.T) {
	var stderr bytes.Buffer
	code := program(App{}, errors.New("no disk")).Main(nil, lookup(nil), io.Discard, &stderr)
	if code != 1 || !strings.Contains(stderr.String(), "start: no disk") {
		t.Errorf("code %d, stderr %q", code, &stderr)
	}
}

func TestListenFailureClosesApp(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	closed := false
	app := newTestApp(noHandler)
	app.Close = func() error {
		closed = true
		return nil
	}
	env := lookup(map[string]string{"TEST_LISTEN": taken.Addr().String()})
	if code := program(app, nil).Main(nil, env, io.Discard, io.Discard); code != 1 || !closed {
		t.Errorf("code %d, closed %v", code, closed)
	}
}

func TestHealthcheck(t *testing.T) {
	status := http.StatusOK
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
	defer server.Close()
	address := strings.TrimPrefix(server.URL, "http://")
	_, port, _ := net.SplitHostPort(address)
	check := func(listen string) int {
		env := lookup(map[string]string{"TEST_LISTEN": listen, "HTTP_PROXY": "http://127.0.0.1:1"})
		return program(App{}, nil).Main([]string{"--healthcheck"}, env, io.Discard, io.Discard)
	}
	for _, listen := range []string{address, ":" + port, "0.0.0.0:" + port} {
		if code := check(listen); code != 0 {
			t.Errorf("%s: code %d", listen, code)
		}
	}
	status = http.StatusInternalServerError
	if code := check(address); code != 1 {
		t.Errorf("unhealthy: code %d", code)
	}
	server.Close()
	if code := check(address); code != 1 {
		t.Errorf("down: code %d", code)
	}
}

func TestLoopback(t *testing.T) {
	for listen, want := range map[string]string{
		":80": "127.0.0.1:80", "0.0.0.0:80": "127.0.0.1:80", "[::]:80": "[::1]:80", "10.0.0.1:80": "10.0.0.1:80", "api:80": "api:80",
	} {
		if got, err := loopback(listen); err != nil || got != want {
			t.Errorf("%s: got %q, err = %v", listen, got, err)
		}
	}
}

func TestPaths(t *testing.T) {
	ready := errors.New("iam is down")
	app := newTestApp(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	app.Ready = func(context.Context) error { return ready }
	s := &server{app: app, log: slog.New(slog.DiscardHandler), metrics: new(metrics.Registry)}
	h := s.handler()
	get := func(path string) (int, string) {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		return w.Code, w.Body.String()
	}
	expect := func(path string, status int, part string) {
		t.Helper()
		if code, body := get(path); code != status || !strings.Contains(body, part) {
			t.Errorf("%s: %d %s", path, code, body)
		}
	}
	expect("/healthz", 200, `"ok"`)
	expect("/readyz", 503, "dependency")
	ready = nil
	expect("/readyz", 200, `"ready"`)
	s.stopping.Store(true)
	expect("/readyz", 503, "stopping")
	expect("/healthz", 200, `"ok"`)
	expect("/jobs/1", 418, "")
	expect("/jobs/2", 418, "")
	expect("/nowhere", 404, `"not_found"`)
	expect("/metrics", 200, `procession_http_requests_total{route="GET /jobs/{id}",code="418"} 2`)
	expect("/metrics", 200, `procession_http_requests_total{route="unmatched",code="404"} 1`)
	expect("/metrics", 200, `procession_http_request_duration_seconds_count{route="GET /jobs/{id}"} 2`)
}

// runServer runs a server and returns its address, a function to stop it and its result.
func runServer(t *testing.T, app App, grace time.Duration) (string, context.CancelFunc, <-chan error) {
	t.Helper()
	in, out := io.Pipe()
	s := &server{app: app, log: logging.New(out, slog.LevelInfo, "test", "1"), metrics: new(metrics.Registry), grace: grace}
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	result := make(chan error, 1)
	go func() { result <- s.run(ctx, "127.0.0.1:0") }()
	line := make([]byte, 1000)
	n, err := in.Read(line)
	if err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = io.Copy(io.Discard, in) }()
	_, rest, _ := strings.Cut(string(line[:n]), `"address":"`)
	address, _, _ := strings.Cut(rest, `"`)
	return address, cancel, result
}

func TestStopWaitsForRequestsAndTasks(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	app := newTestApp(func(w http.ResponseWriter, _ *http.Request) {
		close(entered)
		<-release
		_, _ = io.WriteString(w, "done")
	})
	taskEnded := false
	app.Tasks = []func(context.Context){func(ctx context.Context) {
		<-ctx.Done()
		taskEnded = true
	}}
	address, stop, result := runServer(t, app, 5*time.Second)
	answer := make(chan string, 1)
	go func() {
		response, err := http.Get("http://" + address + "/jobs/1")
		if err != nil {
			answer <- err.Error()
			return
		}
		defer response.Body.Close()
		body, _ := io.ReadAll(response.Body)
		answer <- string(body)
	}()
	<-entered
	stop()
	time.Sleep(20 * time.Millisecond)
	close(release)
	if got := <-answer; got != "done" {
		t.Errorf("answer = %q", got)
	}
	if err := <-result; err != nil || !taskEnded {
		t.Errorf("err = %v, task ended: %v", err, taskEnded)
	}
}

func TestStopIsBounded(t *testing.T) {
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	entered := make(chan struct{})
	app := newTestApp(func(http.ResponseWriter, *http.Request) {
		close(entered)
		<-release
	})
	address, stop, result := runServer(t, app, 50*time.Millisecond)
	go func() {
		if response, err := http.Get("http://" + address + "/jobs/1"); err == nil {
			response.Body.Close()
		}
	}()
	<-entered
	stop()
	if err := <-result; err == nil || !strings.Contains(err.Error(), "requests still in flight") {
		t.Errorf("err = %v", err)
	}

	app = newTestApp(noHandler)
	app.Tasks = []func(context.Context){func(context.Context) { <-release }}
	_, stop, result = runServer(t, app, 50*time.Millisecond)
	stop()
	if err := <-result; err == nil || !strings.Contains(err.Error(), "tasks still running") {
		t.Errorf("err = %v", err)
	}
}
