package service

import (
	"context"
	"net/http"
	"time"

	"procession.example/services/internal/httpjson"
	"procession.example/services/internal/metrics"
)

// readyTimeout bounds the check of dependencies, below the usual timeout of probes.
const readyTimeout = 2 * time.Second

// handler adds the paths that every service has to those of the app.
func (s *server) handler() http.Handler {
	routes := http.NewServeMux()
	routes.HandleFunc("GET /healthz", s.healthz)
	routes.HandleFunc("GET /readyz", s.readyz)
	routes.Handle("GET /metrics", s.metrics)
	watched := &watch{
		requests: s.metrics.NewCounter("procession_http_requests_total", "Requests answered.", "route", "code"),
		latency: s.metrics.NewHistogram("procession_http_request_duration_seconds", "Time to answer requests.",
			metrics.LatencyBounds(), "route"),
		log:  s.log,
		next: s.app.Handler,
	}
	routes.Handle("/", watched)
	return routes
}

func (s *server) healthz(w http.ResponseWriter, _ *http.Request) {
	httpjson.Write(w, http.StatusOK, status{"ok"})
}

func (s *server) readyz(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), readyTimeout)
	defer cancel()
	if s.stopping.Load() {
		httpjson.WriteError(w, notReady("stopping"))
		return
	}
	if err := s.app.Ready(ctx); err != nil {
		s.log.Warn("not ready", "error", err)
		httpjson.WriteError(w, notReady("a dependency is not available"))
		return
	}
	httpjson.Write(w, http.StatusOK, status{"ready"})
}

type status struct {
	Status string `json:"status"`
}

func notReady(message string) error {
	return &httpjson.Error{Status: http.StatusServiceUnavailable, Code: httpjson.CodeUnavailable, Message: message}
}
