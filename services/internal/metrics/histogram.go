package metrics

import (
	"bytes"
	"fmt"
	"slices"
)

// distribution counts observations by bucket; one more than the bounds for the rest.
type distribution struct {
	buckets []uint64
	sum     float64
}

// Histogram counts observations in buckets for each combination of label values.
type Histogram struct {
	description
	bounds []float64
	series series[distribution]
}

// NewHistogram adds a histogram with ascending upper bounds to the registry.
func (r *Registry) NewHistogram(name, help string, bounds []float64, labels ...string) *Histogram {
	h := &Histogram{description{name, help, "histogram", labels}, bounds, newSeries[distribution](labels)}
	r.add(h)
	return h
}

// LatencyBounds suit requests within a data centre, in seconds.
func LatencyBounds() []float64 {
	return []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}
}

// Observe counts one value; a value equal to a bound belongs to that bucket.
func (h *Histogram) Observe(value float64, values ...string) {
	bucket, _ := slices.BinarySearch(h.bounds, value)
	h.series.update(values, func(d *distribution) {
		if d.buckets == nil {
			d.buckets = make([]uint64, len(h.bounds)+1)
		}
		d.buckets[bucket]++
		d.sum += value
	})
}

func (h *Histogram) write(out *bytes.Buffer) {
	h.writeHead(out)
	h.series.each(func(text string, d *distribution) {
		prefix := text
		if prefix != "" {
			prefix += ","
		}
		var count uint64
		for i, bound := range h.bounds {
			count += d.buckets[i]
			fmt.Fprintf(out, "%s_bucket{%sle=\"%s\"} %d\n", h.title, prefix, number(bound), count)
		}
		count += d.buckets[len(h.bounds)]
		fmt.Fprintf(out, "%s_bucket{%sle=\"+Inf\"} %d\n", h.title, prefix, count)
		fmt.Fprintf(out, "%s_sum%s %s\n", h.title, braces(text), number(d.sum))
		fmt.Fprintf(out, "%s_count%s %d\n", h.title, braces(text), count)
	})
}
