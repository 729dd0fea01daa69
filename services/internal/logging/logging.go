// Package logging writes structured log lines as JSON.
package logging

import (
	"io"
	"log/slog"
)

// New returns a logger that marks each line with the service and its version.
func New(w io.Writer, level slog.Leveler, service, version string) *slog.Logger {
	handler := slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level})
	return slog.New(handler).With("service", service, "version", version)
}
