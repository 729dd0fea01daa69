package metrics

import (
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

func TestText(t *testing.T) {
	var r Registry
	c := r.NewCounter("hits_total", "Hits\nby \\ path.", "path")
	g := r.NewGauge("up", "Whether up.")
	h := r.NewHistogram("seconds", "Latency.", []float64{.1, 1}, "route")
	c.Add("/b")
	c.Add("/a\"\\\n")
	c.Add("/b")
	g.Set(.5)
	for _, value := range []float64{.05, .1, .5, 3} {
		h.Observe(value, "/")
	}
	w := httptest.NewRecorder()
	r.ServeHTTP(w, nil)
	want := `# HELP hits_total Hits\nby \\ path.
# TYPE hits_total counter
hits_total{path="/a\"\\\n"} 1
hits_total{path="/b"} 2
# HELP up Whether up.
# TYPE up gauge
up 0.5
# HELP seconds Latency.
# TYPE seconds histogram
seconds_bucket{route="/",le="0.1"} 2
seconds_bucket{route="/",le="1"} 3
seconds_bucket{route="/",le="+Inf"} 4
seconds_sum{route="/"} 3.65
seconds_count{route="/"} 4
`
	if got := w.Body.String(); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
	if got := w.Header().Get("Content-Type"); !strings.HasPrefix(got, "text/plain; version=0.0.4") {
		t.Errorf("content type = %q", got)
	}
}

func TestHistogramWithoutLabels(t *testing.T) {
	var r Registry
	r.NewHistogram("x", "X.", []float64{1}).Observe(2)
	if got := string(r.text()); !strings.Contains(got, "x_bucket{le=\"+Inf\"} 1\nx_sum 2\nx_count 1\n") {
		t.Errorf("got:\n%s", got)
	}
}

func TestConcurrentUse(t *testing.T) {
	var r Registry
	c := r.NewCounter("n_total", "N.")
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 100 {
				c.Add()
				r.text()
			}
		})
	}
	all.Wait()
	if got := string(r.text()); !strings.HasSuffix(got, "n_total 800\n") {
		t.Errorf("got:\n%s", got)
	}
}

func TestMistakesPanic(t *testing.T) {
	var r Registry
	c := r.NewCounter("n_total", "N.", "label")
	for name, mistake := range map[string]func(){
		"same name":      func() { r.NewGauge("n_total", "N.") },
		"missing values": func() { c.Add() },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			mistake()
		})
	}
}
