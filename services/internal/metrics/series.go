package metrics

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
)

// series keeps one T for each combination of label values.
type series[T any] struct {
	mu     sync.Mutex
	labels []string
	byText map[string]*T
}

func newSeries[T any](labels []string) series[T] {
	return series[T]{labels: labels, byText: make(map[string]*T)}
}

// update runs change on the element of the label values while it is locked.
func (s *series[T]) update(values []string, change func(*T)) {
	text := labelText(s.labels, values)
	s.mu.Lock()
	defer s.mu.Unlock()
	element, ok := s.byText[text]
	if !ok {
		element = new(T)
		s.byText[text] = element
	}
	change(element)
}

// each visits the elements in the order of their labels, so that the output is stable.
func (s *series[T]) each(visit func(text string, element *T)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, text := range slices.Sorted(maps.Keys(s.byText)) {
		visit(text, s.byText[text])
	}
}

// labelText writes labels as in a sample, without the braces.
func labelText(labels, values []string) string {
	if len(labels) != len(values) {
		panic(fmt.Sprintf("metrics: %d values for labels %v", len(values), labels))
	}
	pairs := make([]string, len(labels))
	for i, label := range labels {
		pairs[i] = label + `="` + escapeLabel(values[i]) + `"`
	}
	return strings.Join(pairs, ",")
}

func escapeLabel(text string) string {
	return strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(text)
}

func escapeHelp(text string) string {
	return strings.NewReplacer(`\`, `\\`, "\n", `\n`).Replace(text)
}

// braces puts label text, if there is any, into braces.
func braces(text string) string {
	if text == "" {
		return ""
	}
	return "{" + text + "}"
}
