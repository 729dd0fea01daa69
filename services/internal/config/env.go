// Package config reads configuration from environment variables and reports every wrong one at once.
package config

import (
	"fmt"
	"regexp"
	"strings"
)

// Lookup finds the value of a variable, as os.LookupEnv does.
type Lookup func(name string) (string, bool)

// Problem tells what is wrong with one variable.
type Problem struct {
	Name string `json:"name"`
	Rule string `json:"rule"`
	Got  string `json:"got"`
}

// Error lists all wrong variables of one configuration.
type Error struct {
	Problems []Problem
}

// Error implements error with one line for each variable.
func (e *Error) Error() string {
	lines := make([]string, 0, len(e.Problems))
	for _, p := range e.Problems {
		lines = append(lines, fmt.Sprintf("%s must be %s, got %q", p.Name, p.Rule, p.Got))
	}
	return "wrong configuration: " + strings.Join(lines, "; ")
}

// Env reads variables one after another and remembers what was wrong.
type Env struct {
	lookup   Lookup
	problems []Problem
}

// NewEnv returns an Env that reads through lookup.
func NewEnv(lookup Lookup) *Env {
	return &Env{lookup: lookup}
}

// Err returns an *Error with all problems so far, or nil.
func (e *Env) Err() error {
	if len(e.problems) == 0 {
		return nil
	}
	return &Error{Problems: e.problems}
}

// read applies parse to the variable; an unset or empty one means fallback,
// because orchestrators often pass optional variables as empty strings.
func read[T any](e *Env, name, fallback, rule string, parse func(string) (T, bool)) T {
	text, _ := e.lookup(name)
	if text == "" {
		text = fallback
	}
	value, ok := parse(text)
	if !ok {
		e.problems = append(e.problems, Problem{Name: name, Rule: rule, Got: masked(text)})
	}
	return value
}

// masked hides the user and password of URLs, since problems go to logs.
func masked(text string) string {
	return regexp.MustCompile(`//[^/@,]*@`).ReplaceAllString(text, "//***@")
}

// optional lets parse see only values that were given.
func optional[T any](parse func(string) (T, bool)) func(string) (T, bool) {
	return func(text string) (T, bool) {
		if text == "" {
			var zero T
			return zero, true
		}
		return parse(text)
	}
}
