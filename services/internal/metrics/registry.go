// Package metrics counts and measures, and writes the results in the Prometheus text format.
package metrics

import (
	"bytes"
	"fmt"
	"net/http"
	"sync"
)

// family is a group of samples under one name.
type family interface {
	name() string
	write(out *bytes.Buffer)
}

// Registry holds the metrics of one process.
type Registry struct {
	mu       sync.Mutex
	families []family
}

// add panics on a name that is in use, since that is a mistake in the program.
func (r *Registry) add(f family) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, known := range r.families {
		if known.name() == f.name() {
			panic("metrics: duplicate name " + f.name())
		}
	}
	r.families = append(r.families, f)
}

// ServeHTTP answers with all metrics in the order of their creation.
func (r *Registry) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	// A client that went away is the only cause of an error here.
	_, _ = w.Write(r.text())
}

func (r *Registry) text() []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out bytes.Buffer
	for _, f := range r.families {
		f.write(&out)
	}
	return out.Bytes()
}

// description is what all families have in common.
type description struct {
	title, help, kind string
	labels            []string
}

func (d description) name() string { return d.title }

func (d description) writeHead(out *bytes.Buffer) {
	fmt.Fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", d.title, escapeHelp(d.help), d.title, d.kind)
}
