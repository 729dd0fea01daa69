package directory

import "fmt"

// InvalidError tells which field breaks which rule.
type InvalidError struct {
	Field, Rule string
}

// Error implements error.
func (e *InvalidError) Error() string {
	return fmt.Sprintf("%s must be %s", e.Field, e.Rule)
}

// ConflictError tells which field has a value that another object has already.
type ConflictError struct {
	Field, Value string
}

// Error implements error.
func (e *ConflictError) Error() string {
	return fmt.Sprintf("%s %q is in use", e.Field, e.Value)
}

// NotFoundError tells which kind of object does not exist.
type NotFoundError struct {
	Kind, ID string
}

// Error implements error.
func (e *NotFoundError) Error() string {
	return fmt.Sprintf("%s %q does not exist", e.Kind, e.ID)
}
