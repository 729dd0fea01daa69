package httpjson

import (
	"encoding/json/v2"
	"net/http"
)

// Write answers with value as JSON.
func Write(w http.ResponseWriter, status int, value any) {
	body, err := json.Marshal(value)
	if err != nil {
		panic("httpjson: value without JSON form: " + err.Error())
	}
	WriteRaw(w, status, append(body, '\n'))
}

// WriteRaw answers with a body that is JSON already.
func WriteRaw(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	// A client that went away is the only cause of an error here.
	_, _ = w.Write(body)
}
