package metrics

import (
	"bytes"
	"fmt"
	"strconv"
)

// Counter is a number for each combination of label values that only grows.
type Counter struct {
	description
	series series[uint64]
}

// NewCounter adds a counter to the registry.
func (r *Registry) NewCounter(name, help string, labels ...string) *Counter {
	c := &Counter{description{name, help, "counter", labels}, newSeries[uint64](labels)}
	r.add(c)
	return c
}

// Add adds one to the element of the label values.
func (c *Counter) Add(values ...string) {
	c.series.update(values, func(n *uint64) { *n++ })
}

func (c *Counter) write(out *bytes.Buffer) {
	c.writeHead(out)
	c.series.each(func(text string, n *uint64) {
		fmt.Fprintf(out, "%s%s %d\n", c.title, braces(text), *n)
	})
}

// Gauge is a number for each combination of label values that goes up and down.
type Gauge struct {
	description
	series series[float64]
}

// NewGauge adds a gauge to the registry.
func (r *Registry) NewGauge(name, help string, labels ...string) *Gauge {
	g := &Gauge{description{name, help, "gauge", labels}, newSeries[float64](labels)}
	r.add(g)
	return g
}

// Set stores a value for the label values.
func (g *Gauge) Set(value float64, values ...string) {
	g.series.update(values, func(n *float64) { *n = value })
}

func (g *Gauge) write(out *bytes.Buffer) {
	g.writeHead(out)
	g.series.each(func(text string, n *float64) {
		fmt.Fprintf(out, "%s%s %s\n", g.title, braces(text), number(*n))
	})
}

func number(value float64) string {
	return strconv.FormatFloat(value, 'g', -1, 64)
}
