package httpjson

import (
	"net/http"
)

// Router serves routes and turns the plain answers to unknown ones into JSON.
func Router(routes *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, pattern := routes.Handler(r); pattern == "" {
			w = &plainToJSON{ResponseWriter: w}
		}
		routes.ServeHTTP(w, r)
	})
}

// plainToJSON replaces the body of errors that http.ServeMux itself writes.
type plainToJSON struct {
	http.ResponseWriter
	replaced bool
}

// WriteHeader keeps the header, since it names the methods allowed.
func (p *plainToJSON) WriteHeader(status int) {
	known := &Error{Status: status, Code: CodeNotFound, Message: "no such path"}
	switch status {
	case http.StatusMethodNotAllowed:
		known = &Error{Status: status, Code: CodeMethod, Message: "method is not allowed for this path"}
	case http.StatusNotFound:
	default:
		p.ResponseWriter.WriteHeader(status)
		return
	}
	p.replaced = true
	WriteError(p.ResponseWriter, known)
}

// Write drops the plain text.
func (p *plainToJSON) Write(body []byte) (int, error) {
	if p.replaced {
		return len(body), nil
	}
	return p.ResponseWriter.Write(body)
}
