package httpjson

import (
	"encoding/json/v2"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

type sample struct {
	Name  string `json:"name"`
	Inner struct {
		Size int `json:"size"`
	} `json:"inner"`
}

func post(body, contentType string) *http.Request {
	r := httptest.NewRequest("POST", "/", strings.NewReader(body))
	r.Header.Set("Content-Type", contentType)
	return r
}

func TestRead(t *testing.T) {
	const jsonType = "application/json; charset=utf-8"
	for _, test := range []struct {
		name, body, contentType string
		status                  int
		field                   string
	}{
		{"good", `{"name":"a","inner":{"size":1}}`, jsonType, 0, ""},
		{"unknown field", `{"nick":"a"}`, jsonType, 400, "nick"},
		{"other case", `{"Name":"a"}`, jsonType, 400, "Name"},
		{"unknown inner field", `{"inner":{"x":1}}`, jsonType, 400, "inner.x"},
		{"wrong type", `{"name":1}`, jsonType, 400, "name"},
		{"wrong inner type", `{"inner":{"size":"1"}}`, jsonType, 400, "inner.size"},
		{"twice", `{"name":"a","name":"b"}`, jsonType, 400, "name"},
		{"half", `{"name":"a"`, jsonType, 400, ""},
		{"more", `{} {}`, jsonType, 400, ""},
		{"array", `[]`, jsonType, 400, ""},
		{"null", `null`, jsonType, 400, ""},
		{"empty", ``, jsonType, 400, ""},
		{"content type", `{}`, "text/plain", 415, ""},
		{"no content type", `{}`, "", 415, ""},
		{"large", `{"name":"` + strings.Repeat("a", MaxBody) + `"}`, jsonType, 413, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			var value sample
			err := Read(httptest.NewRecorder(), post(test.body, test.contentType), &value)
			if test.status == 0 {
				if err != nil || value.Name != "a" || value.Inner.Size != 1 {
					t.Fatalf("value = %+v, err = %v", value, err)
				}
				return
			}
			var known *Error
			if !errors.As(err, &known) || known.Status != test.status || known.Field != test.field {
				t.Fatalf("err = %#v", err)
			}
		})
	}
}

func TestWriteError(t *testing.T) {
	for _, test := range []struct {
		err    error
		status int
		body   string
	}{
		{fmt.Errorf("create: %w", Invalid("name", "too short")), 400, `{"error":{"code":"invalid","message":"too short","field":"name"}}`},
		{errors.New("secret path"), 500, `{"error":{"code":"internal","message":"internal error"}}`},
		{&Error{Status: 503, Code: CodeUnavailable, Message: "later"}, 503, `{"error":{"code":"unavailable","message":"later"}}`},
	} {
		w := httptest.NewRecorder()
		WriteError(w, test.err)
		if w.Code != test.status || w.Body.String() != test.body+"\n" {
			t.Errorf("%v: %d %s", test.err, w.Code, w.Body)
		}
		if retry := w.Header().Get("Retry-After"); (retry != "") != (test.status == 503) {
			t.Errorf("%v: Retry-After = %q", test.err, retry)
		}
	}
}

func TestRouter(t *testing.T) {
	routes := http.NewServeMux()
	routes.HandleFunc("GET /a/{id}", func(w http.ResponseWriter, r *http.Request) {
		Write(w, 200, map[string]string{"id": r.PathValue("id")})
	})
	for _, test := range []struct {
		method, path string
		status       int
		code, allow  string
	}{
		{"GET", "/a/1", 200, "", ""},
		{"GET", "/b", 404, CodeNotFound, ""},
		{"POST", "/a/1", 405, CodeMethod, "GET, HEAD"},
	} {
		w := httptest.NewRecorder()
		Router(routes).ServeHTTP(w, httptest.NewRequest(test.method, test.path, nil))
		var body struct {
			ID    string `json:"id"`
			Error Error  `json:"error"`
		}
		if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
			t.Fatalf("%s %s: %q: %v", test.method, test.path, w.Body, err)
		}
		if w.Code != test.status || body.Error.Code != test.code || w.Header().Get("Allow") != test.allow {
			t.Errorf("%s %s: %d %+v %q", test.method, test.path, w.Code, body, w.Header())
		}
	}
}
