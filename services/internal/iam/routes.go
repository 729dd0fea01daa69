package iam

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"

	"procession.example/services/internal/directory"
	"procession.example/services/internal/httpjson"
)

// Sizes of pages of lists.
const (
	defaultLimit = 100
	maxLimit     = 1000
)

// routes answers requests from a directory.
type routes struct {
	directory *directory.Directory
	log       *slog.Logger
}

// answer is a handler that leaves writing to its caller; a nil value means no body.
type answer func(w http.ResponseWriter, r *http.Request) (status int, value any, err error)

func newRoutes(d *directory.Directory, log *slog.Logger) *http.ServeMux {
	s := &routes{directory: d, log: log}
	mux := http.NewServeMux()
	for pattern, handle := range map[string]answer{
		"GET /v1/users":                                s.listUsers,
		"POST /v1/users":                               s.createUser,
		"GET /v1/users/{id}":                           s.getUser,
		"PUT /v1/users/{id}":                           s.updateUser,
		"DELETE /v1/users/{id}":                        s.deleteUser,
		"GET /v1/organizations":                        s.listOrganizations,
		"POST /v1/organizations":                       s.createOrganization,
		"GET /v1/organizations/{id}":                   s.getOrganization,
		"PUT /v1/organizations/{id}":                   s.updateOrganization,
		"DELETE /v1/organizations/{id}":                s.deleteOrganization,
		"PUT /v1/organizations/{id}/members/{user}":    s.addMember,
		"DELETE /v1/organizations/{id}/members/{user}": s.removeMember,
	} {
		mux.Handle(pattern, s.handler(handle))
	}
	return mux
}

func (s *routes) handler(handle answer) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		status, value, err := handle(w, r)
		switch {
		case err != nil:
			httpjson.WriteError(w, s.translate(err))
		case value == nil:
			w.WriteHeader(status)
		default:
			httpjson.Write(w, status, value)
		}
	})
}

// translate turns errors of the directory into those for clients.
func (s *routes) translate(err error) error {
	var (
		known    *httpjson.Error
		invalid  *directory.InvalidError
		conflict *directory.ConflictError
		missing  *directory.NotFoundError
	)
	switch {
	case errors.As(err, &known):
		return known
	case errors.As(err, &invalid):
		return httpjson.Invalid(invalid.Field, "must be "+invalid.Rule)
	case errors.As(err, &conflict):
		return &httpjson.Error{Status: http.StatusConflict, Code: httpjson.CodeConflict, Message: conflict.Error(), Field: conflict.Field}
	case errors.As(err, &missing):
		return &httpjson.Error{Status: http.StatusNotFound, Code: httpjson.CodeNotFound, Message: missing.Error()}
	}
	s.log.Error("directory failed", "error", err)
	return &httpjson.Error{Status: http.StatusServiceUnavailable, Code: httpjson.CodeUnavailable, Message: "change could not be stored"}
}

// page reads the part of a list that a request asks for.
func page(r *http.Request) (directory.Page, error) {
	query := r.URL.Query()
	p := directory.Page{After: query.Get("after"), Limit: defaultLimit}
	if text := query.Get("limit"); text != "" {
		limit, err := strconv.Atoi(text)
		if err != nil || limit < 1 || limit > maxLimit {
			return p, httpjson.Invalid("limit", fmt.Sprintf("must be a number from 1 to %d", maxLimit))
		}
		p.Limit = limit
	}
	return p, nil
}
