package gateway

import (
	"encoding/json/v2"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"procession.example/services/internal/config"
	"procession.example/services/internal/httpjson"
	"procession.example/services/internal/memcache/memcachetest"
	"procession.example/services/internal/metrics"
	"procession.example/services/internal/service"
)

// fakeIAM counts requests and answers all in the same way.
type fakeIAM struct {
	*httptest.Server
	requests atomic.Int64
	answer   atomic.Pointer[http.HandlerFunc]
}

func startIAM(t *testing.T, answer http.HandlerFunc) *fakeIAM {
	t.Helper()
	iam := new(fakeIAM)
	iam.answer.Store(&answer)
	iam.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		iam.requests.Add(1)
		(*iam.answer.Load())(w, r)
	}))
	t.Cleanup(iam.Close)
	return iam
}

// echo answers with what was asked.
func echo(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	w.Header().Set("Location", "/v1/users/new")
	httpjson.Write(w, http.StatusOK, []string{r.Method, r.RequestURI, string(body)})
}

func newApp(t *testing.T, variables map[string]string) service.App {
	t.Helper()
	env := config.NewEnv(func(name string) (string, bool) {
		value, ok := variables[name]
		return value, ok
	})
	start := setup(env)
	if err := env.Err(); err != nil {
		t.Fatal(err)
	}
	app, err := start(service.Kit{Log: slog.New(slog.DiscardHandler), Metrics: new(metrics.Registry), Listen: ":8080"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { app.Close() })
	return app
}

func call(h http.Handler, method, path, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestRequestsArePassedOn(t *testing.T) {
	iam := startIAM(t, echo)
	h := newApp(t, map[string]string{"PROCESSION_API_IAM": iam.URL}).Handler
	for _, test := range []struct{ method, path, body, want string }{
		{"GET", "/v1/users?limit=2&after=ada", "", `["GET","/v1/users?limit=2&after=ada",""]`},
		{"POST", "/v1/users", `{"name":1}`, `["POST","/v1/users","{\"name\":1}"]`},
		{"PUT", "/v1/organizations/7", `{}`, `["PUT","/v1/organizations/7","{}"]`},
		{"PUT", "/v1/organizations/7/members/8", `ignored`, `["PUT","/v1/organizations/7/members/8",""]`},
		{"DELETE", "/v1/users/7", ``, `["DELETE","/v1/users/7",""]`},
		{"GET", "/v1/users/..%2f..%2fmetrics", ``, `["GET","/v1/users/%2E%2E%2F%2E%2E%2Fmetrics",""]`},
		{"GET", "/v1/users/%2E%2E", ``, `["GET","/v1/users/%2E%2E",""]`},
		{"GET", "/v1/users/a%3Fb%23c", ``, `["GET","/v1/users/a%3Fb%23c",""]`},
		{"GET", "/v1/users/{user}", ``, `["GET","/v1/users/%7Buser%7D",""]`},
	} {
		w := call(h, test.method, test.path, test.body)
		if got := strings.TrimSpace(w.Body.String()); w.Code != 200 || got != test.want {
			t.Errorf("%s %s: %d %s", test.method, test.path, w.Code, got)
		}
		if w.Header().Get("Location") != "/v1/users/new" {
			t.Errorf("%s %s: header %v", test.method, test.path, w.Header())
		}
	}
}

func TestBadRequestsStopHere(t *testing.T) {
	iam := startIAM(t, echo)
	h := newApp(t, map[string]string{"PROCESSION_API_IAM": iam.URL}).Handler
	for _, test := range []struct {
		method, path, body string
		status             int
	}{
		{"POST", "/v1/users", strings.Repeat(" ", httpjson.MaxBody+1), 413},
		{"PATCH", "/v1/users", `{}`, 405},
		{"GET", "/v1/teams", ``, 404},
		{"GET", "/v1/users/", ``, 404},
	} {
		w := call(h, test.method, test.path, test.body)
		if w.Code != test.status || !strings.HasPrefix(w.Body.String(), `{"error":`) {
			t.Errorf("%s %s: %d %s", test.method, test.path, w.Code, w.Body)
		}
	}
	if got := iam.requests.Load(); got != 0 {
		t.Errorf("iam got %d requests", got)
	}
}

func TestAnswersOfIAM(t *testing.T) {
	const conflict = `{"error":{"code":"conflict","message":"name is in use","field":"name"}}`
	for _, test := range []struct {
		status int
		body   string
		want   int
		code   string
	}{
		{201, `{}`, 201, ""},
		{204, ``, 204, ""},
		{404, `{"error":{"code":"not_found","message":"m"}}`, 404, "not_found"},
		{409, conflict, 409, "conflict"},
		{500, `{}`, 502, "bad_gateway"},
		{503, `{}`, 503, "unavailable"},
		{302, `{}`, 502, "bad_gateway"},
		{200, `<html>`, 502, "bad_gateway"},
	} {
		iam := startIAM(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(test.status)
			_, _ = io.WriteString(w, test.body)
		})
		w := call(newApp(t, map[string]string{"PROCESSION_API_IAM": iam.URL}).Handler, "POST", "/v1/users", `{}`)
		var body struct {
			Error httpjson.Error `json:"error"`
		}
		if w.Body.Len() > 0 {
			if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
				t.Errorf("%d: %q: %v", test.status, w.Body, err)
			}
		}
		if w.Code != test.want || body.Error.Code != test.code {
			t.Errorf("%d: got %d %s", test.status, w.Code, w.Body)
		}
	}
}

func TestIAMDown(t *testing.T) {
	iam := startIAM(t, echo)
	app := newApp(t, map[string]string{"PROCESSION_API_IAM": iam.URL})
	if err := app.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	iam.Close()
	for _, method := range []string{"GET", "POST"} {
		w := call(app.Handler, method, "/v1/users", `{}`)
		if w.Code != 503 || !strings.Contains(w.Body.String(), `"code":"unavailable"`) || w.Header().Get("Retry-After") == "" {
			t.Errorf("%s: %d %s", method, w.Code, w.Body)
		}
	}
	if app.Ready(t.Context()) == nil {
		t.Error("ready without iam")
	}
}

func TestCache(t *testing.T) {
	iam, cache := startIAM(t, echo), memcachetest.Start(t)
	h := newApp(t, map[string]string{"PROCESSION_API_IAM": iam.URL, "PROCESSION_API_MEMCACHED": cache.Address()}).Handler
	for _, step := range []struct{ method, path, cache string }{
		{"GET", "/v1/users/1", "miss"},
		{"GET", "/v1/users/1", "hit"},
		{"GET", "/v1/users/2", "miss"},
		{"GET", "/v1/users?limit=1", "miss"},
		{"GET", "/v1/users?limit=2", "miss"},
		{"GET", "/v1/users?limit=1", "hit"},
		{"PUT", "/v1/users/1", ""},
		{"GET", "/v1/users/1", "miss"},
		{"GET", "/v1/users?limit=1", "miss"},
		{"GET", "/v1/users/1", "hit"},
	} {
		w := call(h, step.method, step.path, `{}`)
		if got := w.Header().Get("X-Cache"); w.Code != 200 || got != step.cache {
			t.Errorf("%+v: %d, cache %q", step, w.Code, got)
		}
		if step.method == "GET" && !strings.Contains(w.Body.String(), step.path) {
			t.Errorf("%+v: body %s", step, w.Body)
		}
	}
}

func TestErrorsAreNotCached(t *testing.T) {
	iam := startIAM(t, func(w http.ResponseWriter, _ *http.Request) { httpjson.Write(w, http.StatusNotFound, struct{}{}) })
	cache := memcachetest.Start(t)
	h := newApp(t, map[string]string{"PROCESSION_API_IAM": iam.URL, "PROCESSION_API_MEMCACHED": cache.Address()}).Handler
	for range 2 {
		if w := call(h, "GET", "/v1/users/1", ""); w.Code != 404 || w.Header().Get("X-Cache") != "miss" {
			t.Errorf("%d %v", w.Code, w.Header())
		}
	}
}

// TestReadDuringWrite lets a read that saw the old state end only after the write.
func TestReadDuringWrite(t *testing.T) {
	iam, cache := startIAM(t, echo), memcachetest.Start(t)
	h := newApp(t, map[string]string{"PROCESSION_API_IAM": iam.URL, "PROCESSION_API_MEMCACHED": cache.Address()}).Handler
	var slow http.HandlerFunc = func(w http.ResponseWriter, _ *http.Request) {
		var fast http.HandlerFunc = echo
		iam.answer.Store(&fast)
		call(h, "PUT", "/v1/users/1", `{}`)
		httpjson.Write(w, http.StatusOK, "old")
	}
	iam.answer.Store(&slow)
	if w := call(h, "GET", "/v1/users/1", ""); w.Body.String() != "\"old\"\n" {
		t.Fatalf("body = %s", w.Body)
	}
	if w := call(h, "GET", "/v1/users/1", ""); w.Header().Get("X-Cache") != "miss" {
		t.Errorf("the old answer was kept: %s", w.Body)
	}
}

func TestCacheFailureIsHarmless(t *testing.T) {
	iam, cache := startIAM(t, echo), memcachetest.Start(t)
	h := newApp(t, map[string]string{"PROCESSION_API_IAM": iam.URL, "PROCESSION_API_MEMCACHED": cache.Address()}).Handler
	call(h, "GET", "/v1/users/1", "")
	cache.Stop()
	for _, method := range []string{"GET", "PUT"} {
		if w := call(h, method, "/v1/users/1", `{}`); w.Code != 200 {
			t.Errorf("%s: %d %s", method, w.Code, w.Body)
		}
	}
}

func TestDescriptionMatchesRoutes(t *testing.T) {
	h := newApp(t, nil).Handler
	w := call(h, "GET", "/openapi.json", "")
	var description struct {
		Paths map[string]map[string]any `json:"paths"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &description); err != nil {
		t.Fatal(err)
	}
	if got := w.Header().Get("Content-Type"); got != "application/json" {
		t.Errorf("content type = %q", got)
	}
	var described []string
	for path, methods := range description.Paths {
		for method := range methods {
			described = append(described, strings.ToUpper(method)+" "+path)
		}
	}
	routed := passed()
	slices.Sort(described)
	slices.Sort(routed)
	if !slices.Equal(described, routed) {
		t.Errorf("described %q, routed %q", described, routed)
	}
	if w := call(h, "GET", "/", ""); w.Code != 200 || !strings.Contains(w.Body.String(), "<h1>Procession API</h1>") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestAdvertisedAddress(t *testing.T) {
	if got, err := (settings{advertise: "api:80"}).address(":8080"); err != nil || got != "api:80" {
		t.Errorf("got %q, err = %v", got, err)
	}
	if got, err := (settings{}).address(":8080"); err != nil || !strings.HasSuffix(got, ":8080") || len(got) == len(":8080") {
		t.Errorf("got %q, err = %v", got, err)
	}
}
