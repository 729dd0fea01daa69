package iam

import (
	"encoding/json/v2"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"procession.example/services/internal/config"
	"procession.example/services/internal/httpjson"
	"procession.example/services/internal/metrics"
	"procession.example/services/internal/service"
)

func newApp(t *testing.T) service.App {
	t.Helper()
	folder := t.TempDir()
	env := config.NewEnv(func(string) (string, bool) { return folder, true })
	start := setup(env)
	if err := env.Err(); err != nil {
		t.Fatal(err)
	}
	app, err := start(service.Kit{Log: slog.New(slog.DiscardHandler), Metrics: new(metrics.Registry)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { app.Close() })
	return app
}

// body is the union of all answers.
type body struct {
	ID      string         `json:"id"`
	Name    string         `json:"name"`
	Members []string       `json:"members"`
	Users   []body         `json:"users"`
	Orgs    []body         `json:"organizations"`
	Next    string         `json:"next"`
	Error   httpjson.Error `json:"error"`
}

func call(t *testing.T, h http.Handler, method, path, text string) (*http.Response, body) {
	t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(text))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	var b body
	if w.Body.Len() > 0 {
		if err := json.Unmarshal(w.Body.Bytes(), &b); err != nil {
			t.Fatalf("%s %s: %q: %v", method, path, w.Body, err)
		}
	}
	return w.Result(), b
}

func TestErrors(t *testing.T) {
	h := newApp(t).Handler
	_, ada := call(t, h, "POST", "/v1/users", `{"name":"ada","email":"ada@example.org"}`)
	_, org := call(t, h, "POST", "/v1/organizations", `{"name":"engine"}`)
	for _, test := range []struct {
		method, path, text string
		status             int
		code, field        string
	}{
		{"POST", "/v1/users", `{"name":"ada","email":"b@example.org"}`, 409, "conflict", "name"},
		{"POST", "/v1/users", `{"name":"bob","email":"ada@example.org"}`, 409, "conflict", "email"},
		{"POST", "/v1/users", `{"name":"bob"}`, 400, "invalid", "email"},
		{"POST", "/v1/users", `{"name":"bob","email":"b@example.org","admin":true}`, 400, "invalid", "admin"},
		{"POST", "/v1/users", `{"name":7}`, 400, "invalid", "name"},
		{"POST", "/v1/users", `name=bob`, 400, "invalid", ""},
		{"POST", "/v1/users", `{"name":"` + strings.Repeat("b", httpjson.MaxBody) + `"}`, 413, "too_large", ""},
		{"PUT", "/v1/users/" + ada.ID, `{"name":"x"}`, 400, "invalid", "name"},
		{"PUT", "/v1/users/" + ada.ID, `{`, 400, "invalid", ""},
		{"GET", "/v1/users/none", ``, 404, "not_found", ""},
		{"PUT", "/v1/users/none", `{"name":"bob","email":"b@example.org"}`, 404, "not_found", ""},
		{"DELETE", "/v1/users/none", ``, 404, "not_found", ""},
		{"GET", "/v1/users?limit=0", ``, 400, "invalid", "limit"},
		{"GET", "/v1/organizations?limit=many", ``, 400, "invalid", "limit"},
		{"POST", "/v1/organizations", `{"name":"engine"}`, 409, "conflict", "name"},
		{"POST", "/v1/organizations", `{}`, 400, "invalid", "name"},
		{"POST", "/v1/organizations", `{"members":[]}`, 400, "invalid", "members"},
		{"PUT", "/v1/organizations/" + org.ID, `[]`, 400, "invalid", ""},
		{"PUT", "/v1/organizations/none", `{"name":"mill"}`, 404, "not_found", ""},
		{"GET", "/v1/organizations/none", ``, 404, "not_found", ""},
		{"DELETE", "/v1/organizations/none", ``, 404, "not_found", ""},
		{"PUT", "/v1/organizations/" + org.ID + "/members/none", ``, 404, "not_found", ""},
		{"PUT", "/v1/organizations/none/members/" + ada.ID, ``, 404, "not_found", ""},
		{"DELETE", "/v1/users", ``, 405, "method_not_allowed", ""},
		{"GET", "/v2/users", ``, 404, "not_found", ""},
	} {
		response, b := call(t, h, test.method, test.path, test.text)
		if response.StatusCode != test.status || b.Error.Code != test.code || b.Error.Field != test.field {
			t.Errorf("%s %s %.40s: %d %+v", test.method, test.path, test.text, response.StatusCode, b.Error)
		}
	}
}

func TestUsers(t *testing.T) {
	h := newApp(t).Handler
	response, ada := call(t, h, "POST", "/v1/users", `{"name":"ada","email":"ada@example.org","display_name":"Ada"}`)
	path := "/v1/users/" + ada.ID
	if response.StatusCode != 201 || response.Header.Get("Location") != path {
		t.Fatalf("created: %d %q", response.StatusCode, response.Header)
	}
	call(t, h, "POST", "/v1/users", `{"name":"bob","email":"bob@example.org"}`)
	if response, b := call(t, h, "PUT", path, `{"name":"ada-l","email":"ada@example.org"}`); response.StatusCode != 200 || b.Name != "ada-l" {
		t.Errorf("updated: %d %+v", response.StatusCode, b)
	}
	if response, b := call(t, h, "GET", path, ""); response.StatusCode != 200 || b.Name != "ada-l" {
		t.Errorf("got: %d %+v", response.StatusCode, b)
	}
	if _, b := call(t, h, "GET", "/v1/users?limit=1", ""); len(b.Users) != 1 || b.Next != "ada-l" {
		t.Errorf("list: %+v", b)
	}
	if _, b := call(t, h, "GET", "/v1/users?limit=1&after=ada-l", ""); len(b.Users) != 1 || b.Next != "" || b.Users[0].Name != "bob" {
		t.Errorf("list: %+v", b)
	}
	if response, _ := call(t, h, "DELETE", path, ""); response.StatusCode != 204 {
		t.Errorf("deleted: %d", response.StatusCode)
	}
	if response, _ := call(t, h, "GET", path, ""); response.StatusCode != 404 {
		t.Errorf("got: %d", response.StatusCode)
	}
}

func TestOrganizations(t *testing.T) {
	h := newApp(t).Handler
	_, ada := call(t, h, "POST", "/v1/users", `{"name":"ada","email":"ada@example.org"}`)
	response, org := call(t, h, "POST", "/v1/organizations", `{"name":"engine","display_name":"Analytical Engine"}`)
	path := "/v1/organizations/" + org.ID
	if response.StatusCode != 201 || response.Header.Get("Location") != path || org.Members == nil {
		t.Fatalf("created: %d %q %+v", response.StatusCode, response.Header, org)
	}
	member := path + "/members/" + ada.ID
	if response, b := call(t, h, "PUT", member, ""); response.StatusCode != 200 || len(b.Members) != 1 {
		t.Errorf("member added: %d %+v", response.StatusCode, b)
	}
	if _, b := call(t, h, "PUT", path, `{"name":"mill"}`); b.Name != "mill" || len(b.Members) != 1 {
		t.Errorf("updated: %+v", b)
	}
	if _, b := call(t, h, "GET", "/v1/organizations", ""); len(b.Orgs) != 1 || len(b.Orgs[0].Members) != 1 {
		t.Errorf("list: %+v", b)
	}
	if response, b := call(t, h, "DELETE", member, ""); response.StatusCode != 200 || len(b.Members) != 0 {
		t.Errorf("member removed: %d %+v", response.StatusCode, b)
	}
	if response, _ := call(t, h, "DELETE", path, ""); response.StatusCode != 204 {
		t.Errorf("deleted: %d", response.StatusCode)
	}
}

func TestStoreFailure(t *testing.T) {
	app := newApp(t)
	if err := app.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	app.Close()
	response, b := call(t, app.Handler, "POST", "/v1/users", `{"name":"ada","email":"ada@example.org"}`)
	if response.StatusCode != 503 || b.Error.Code != "unavailable" {
		t.Errorf("%d %+v", response.StatusCode, b)
	}
	if app.Ready(t.Context()) == nil {
		t.Error("ready without a store")
	}
}
