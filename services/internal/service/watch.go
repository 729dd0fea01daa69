package service

import (
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"procession.example/services/internal/metrics"
)

// watch measures and logs requests.
type watch struct {
	requests *metrics.Counter
	latency  *metrics.Histogram
	log      *slog.Logger
	next     http.Handler
}

// ServeHTTP labels metrics with the pattern of the route, since paths have no bound.
func (w *watch) ServeHTTP(out http.ResponseWriter, r *http.Request) {
	begin := time.Now()
	seen := &recorder{ResponseWriter: out, code: http.StatusOK}
	r.Pattern = ""
	w.next.ServeHTTP(seen, r)
	route := r.Pattern
	if route == "" {
		route = "unmatched"
	}
	took := time.Since(begin)
	w.requests.Add(route, strconv.Itoa(seen.code))
	w.latency.Observe(took.Seconds(), route)
	w.log.Info("request", "method", r.Method, "path", r.URL.Path, "status", seen.code, "seconds", took.Seconds())
}

// recorder remembers the status of an answer.
type recorder struct {
	http.ResponseWriter
	code int
}

// WriteHeader implements http.ResponseWriter.
func (r *recorder) WriteHeader(code int) {
	r.code = code
	r.ResponseWriter.WriteHeader(code)
}

// Unwrap serves http.ResponseController.
func (r *recorder) Unwrap() http.ResponseWriter {
	return r.ResponseWriter
}
