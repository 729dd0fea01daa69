// Package httpjson reads JSON requests and writes JSON answers and errors.
package httpjson

import (
	"errors"
	"fmt"
	"net/http"
)

// Codes of errors that clients can tell apart.
const (
	CodeInvalid     = "invalid"
	CodeNotFound    = "not_found"
	CodeConflict    = "conflict"
	CodeTooLarge    = "too_large"
	CodeMediaType   = "unsupported_media_type"
	CodeMethod      = "method_not_allowed"
	CodeUnavailable = "unavailable"
	CodeBadGateway  = "bad_gateway"
	CodeInternal    = "internal"
)

// Error is an error meant for the client.
type Error struct {
	Status  int    `json:"-"`
	Code    string `json:"code"`
	Message string `json:"message"`
	Field   string `json:"field,omitempty"`
}

// Error implements error.
func (e *Error) Error() string {
	if e.Field == "" {
		return fmt.Sprintf("%s: %s", e.Code, e.Message)
	}
	return fmt.Sprintf("%s: %s: %s", e.Code, e.Field, e.Message)
}

// Invalid reports a field of the request that breaks a rule.
func Invalid(field, message string) *Error {
	return &Error{Status: http.StatusBadRequest, Code: CodeInvalid, Message: message, Field: field}
}

// envelope is the body of all error answers.
type envelope struct {
	Error *Error `json:"error"`
}

// WriteError answers with err if it holds an *Error, and hides any other error from the client.
func WriteError(w http.ResponseWriter, err error) {
	var known *Error
	if !errors.As(err, &known) {
		known = &Error{Status: http.StatusInternalServerError, Code: CodeInternal, Message: "internal error"}
	}
	if known.Status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	Write(w, known.Status, envelope{known})
}
