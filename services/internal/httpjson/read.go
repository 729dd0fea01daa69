package httpjson

import (
	"encoding/json/jsontext"
	"encoding/json/v2"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
)

// MaxBody is the size of the largest request body accepted, in bytes.
const MaxBody = 64 << 10

// ReadBody returns the body of a JSON request that keeps within MaxBody.
func ReadBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return nil, &Error{Status: http.StatusUnsupportedMediaType, Code: CodeMediaType, Message: "content type must be application/json"}
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxBody))
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		message := fmt.Sprintf("body must not exceed %d bytes", tooLarge.Limit)
		return nil, &Error{Status: http.StatusRequestEntityTooLarge, Code: CodeTooLarge, Message: message}
	}
	if err != nil {
		return nil, Invalid("", "body ended early")
	}
	return body, nil
}

// Read decodes the body of a JSON request into value and refuses unknown fields.
func Read(w http.ResponseWriter, r *http.Request, value any) error {
	body, err := ReadBody(w, r)
	if err != nil {
		return err
	}
	if jsontext.Value(body).Kind() != '{' {
		return Invalid("", "body must be a JSON object")
	}
	if err := json.Unmarshal(body, value, json.RejectUnknownMembers(true)); err != nil {
		return explain(err)
	}
	return nil
}

// explain turns an error of the decoder into one that names the field.
func explain(err error) *Error {
	var semantic *json.SemanticError
	if errors.As(err, &semantic) {
		field := fieldName(semantic.JSONPointer)
		if errors.Is(err, json.ErrUnknownName) {
			return Invalid(field, "field is not known")
		}
		return Invalid(field, "field has a wrong type")
	}
	var syntactic *jsontext.SyntacticError
	if errors.As(err, &syntactic) && errors.Is(err, jsontext.ErrDuplicateName) {
		return Invalid(fieldName(syntactic.JSONPointer), "field is given twice")
	}
	return Invalid("", "body must be one JSON object")
}

func fieldName(pointer jsontext.Pointer) string {
	var parts []string
	for part := range pointer.Tokens() {
		parts = append(parts, part)
	}
	return strings.Join(parts, ".")
}
