// Package etcdtest offers the JSON gateway of an etcd for tests.
package etcdtest

import (
	"encoding/json/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"sync"
	"testing"
)

// Gateway keeps leases and keys in memory until the test ends.
type Gateway struct {
	URL *url.URL

	mu       sync.Mutex
	down     bool
	last     int64
	leases   map[int64]bool
	keys     map[string]entry
	renewals int
}

type entry struct {
	value string
	lease int64
}

// message is the union of all requests.
type message struct {
	ID    int64  `json:"ID,string"`
	TTL   int64  `json:"TTL,string"`
	Key   []byte `json:"key"`
	Value []byte `json:"value"`
	Lease int64  `json:"lease,string"`
}

// Start serves on a free loopback port.
func Start(t *testing.T) *Gateway {
	t.Helper()
	g := &Gateway{leases: make(map[int64]bool), keys: make(map[string]entry)}
	server := httptest.NewServer(g)
	t.Cleanup(server.Close)
	var err error
	if g.URL, err = url.Parse(server.URL); err != nil {
		t.Fatal(err)
	}
	return g
}

// SetDown makes all requests fail or work again.
func (g *Gateway) SetDown(down bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.down = down
}

// Expire ends all leases.
func (g *Gateway) Expire() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for id := range g.leases {
		g.end(id)
	}
}

// Value returns what is stored under a key.
func (g *Gateway) Value(key string) (string, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	found, ok := g.keys[key]
	return found.value, ok
}

// Counts returns the number of leases granted so far, of those that live, and of renewals.
func (g *Gateway) Counts() (granted, live, renewals int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return int(g.last), len(g.leases), g.renewals
}

// ServeHTTP implements http.Handler.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	var in message
	if err := json.UnmarshalRead(r.Body, &in, json.RejectUnknownMembers(true)); err != nil || r.Method != http.MethodPost {
		http.Error(w, `{"code":3,"message":"bad request"}`, http.StatusBadRequest)
		return
	}
	status, answer := http.StatusServiceUnavailable, `{"code":14,"message":"no leader"}`
	if !g.down {
		status, answer = g.answer(r.URL.Path, in)
	}
	w.WriteHeader(status)
	_, _ = w.Write([]byte(answer))
}

func (g *Gateway) answer(path string, in message) (int, string) {
	const header = `"header":{"cluster_id":"14841639068965178418","revision":"2"}`
	id := strconv.FormatInt(in.ID, 10)
	switch path {
	case "/v3/lease/grant":
		g.last++
		g.leases[g.last] = true
		return http.StatusOK, `{` + header + `,"ID":"` + strconv.FormatInt(g.last, 10) + `","TTL":"` + strconv.FormatInt(in.TTL, 10) + `"}`
	case "/v3/kv/put":
		if !g.leases[in.Lease] {
			return http.StatusNotFound, `{"code":5,"message":"etcdserver: requested lease not found"}`
		}
		g.keys[string(in.Key)] = entry{string(in.Value), in.Lease}
		return http.StatusOK, `{` + header + `}`
	case "/v3/lease/keepalive":
		if !g.leases[in.ID] {
			return http.StatusOK, `{"result":{` + header + `,"ID":"` + id + `"}}` + "\n"
		}
		g.renewals++
		return http.StatusOK, `{"result":{` + header + `,"ID":"` + id + `","TTL":"1"}}` + "\n"
	case "/v3/lease/revoke":
		g.end(in.ID)
		return http.StatusOK, `{` + header + `}`
	}
	return http.StatusNotFound, `{"code":5,"message":"Not Found"}`
}

func (g *Gateway) end(id int64) {
	delete(g.leases, id)
	for key, found := range g.keys {
		if found.lease == id {
			delete(g.keys, key)
		}
	}
}
