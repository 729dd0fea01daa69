package gateway

import (
	"log/slog"
	"net/http"
	"net/url"
	"strings"

	"procession.example/services/internal/httpjson"
	"procession.example/services/internal/iamclient"
)

// cacheHeader tells clients whether an answer comes from the cache.
const cacheHeader = "X-Cache"

// routes answers requests with what iam answers.
type routes struct {
	iam   *iamclient.Client
	cache *cache
	log   *slog.Logger
}

// passed are the routes that iam has under the same paths.
func passed() []string {
	return []string{
		"GET /v1/users",
		"POST /v1/users",
		"GET /v1/users/{id}",
		"PUT /v1/users/{id}",
		"DELETE /v1/users/{id}",
		"GET /v1/organizations",
		"POST /v1/organizations",
		"GET /v1/organizations/{id}",
		"PUT /v1/organizations/{id}",
		"DELETE /v1/organizations/{id}",
		"PUT /v1/organizations/{id}/members/{user}",
		"DELETE /v1/organizations/{id}/members/{user}",
	}
}

func newRoutes(iam *iamclient.Client, cache *cache, log *slog.Logger) *http.ServeMux {
	s := &routes{iam: iam, cache: cache, log: log}
	mux := http.NewServeMux()
	for _, pattern := range passed() {
		if strings.HasPrefix(pattern, "GET ") {
			mux.HandleFunc(pattern, s.read)
			continue
		}
		mux.HandleFunc(pattern, s.write)
	}
	addWeb(mux)
	return mux
}

// read answers from the cache or from iam.
func (s *routes) read(w http.ResponseWriter, r *http.Request) {
	request := iamclient.Request{Method: http.MethodGet, Path: safePath(r), Query: r.URL.RawQuery}
	slot := s.cache.slot(r.Context(), request.Path+"?"+request.Query)
	if body, ok := slot.find(r.Context()); ok {
		w.Header().Set(cacheHeader, "hit")
		httpjson.WriteRaw(w, http.StatusOK, body)
		return
	}
	response, err := s.iam.Do(r.Context(), request)
	if err == nil && response.Status == http.StatusOK {
		slot.keep(r.Context(), response.Body)
	}
	w.Header().Set(cacheHeader, "miss")
	s.pass(w, r, response, err)
}

// write passes a change on to iam.
func (s *routes) write(w http.ResponseWriter, r *http.Request) {
	request := iamclient.Request{Method: r.Method, Path: safePath(r)}
	if hasBody(r) {
		body, err := httpjson.ReadBody(w, r)
		if err != nil {
			httpjson.WriteError(w, err)
			return
		}
		request.Body = body
	}
	response, err := s.iam.Do(r.Context(), request)
	// Also after an error, since iam may have made the change all the same.
	s.cache.invalidate(r.Context())
	s.pass(w, r, response, err)
}

// hasBody tells the changes that carry JSON from those that the path describes.
func hasBody(r *http.Request) bool {
	return r.Method != http.MethodDelete && r.PathValue("user") == ""
}

// safePath rebuilds the path from the parts that the route matched, so that none can lead elsewhere.
func safePath(r *http.Request) string {
	_, path, _ := strings.Cut(r.Pattern, " ")
	return strings.NewReplacer(
		"{id}", escape(r.PathValue("id")),
		"{user}", escape(r.PathValue("user")),
	).Replace(path)
}

// escape also hides dots, since a part of only dots means another folder.
func escape(part string) string {
	return strings.ReplaceAll(url.PathEscape(part), ".", "%2E")
}
