package etcd

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"procession.example/services/internal/etcd/etcdtest"
)

const key = "/procession/api/one"

// run keeps a registration until stop is called.
func run(t *testing.T, members ...*url.URL) (registered *atomic.Bool, stop func()) {
	t.Helper()
	registered = new(atomic.Bool)
	r := New(Options{
		Members: members, Key: key, Value: []byte("value"), TTL: time.Second,
		Log: slog.New(slog.DiscardHandler), Changed: registered.Store,
	})
	r.wait = 10 * time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		r.Run(ctx)
		close(done)
	}()
	stop = func() {
		cancel()
		<-done
	}
	t.Cleanup(stop)
	return registered, stop
}

// eventually waits until the condition holds.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for range 500 {
		if condition() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("not %s in time", what)
}

func TestRegisterRenewRevoke(t *testing.T) {
	gateway := etcdtest.Start(t)
	registered, stop := run(t, gateway.URL)
	eventually(t, "registered", registered.Load)
	if value, _ := gateway.Value(key); value != "value" {
		t.Errorf("value = %q", value)
	}
	eventually(t, "renewed", func() bool {
		_, _, renewals := gateway.Counts()
		return renewals >= 2
	})
	stop()
	granted, live, _ := gateway.Counts()
	if _, ok := gateway.Value(key); ok || granted != 1 || live != 0 || registered.Load() {
		t.Errorf("after stop: key is there: %v, %d leases granted, %d live", ok, granted, live)
	}
}

func TestLostLeaseIsReplaced(t *testing.T) {
	gateway := etcdtest.Start(t)
	registered, _ := run(t, gateway.URL)
	eventually(t, "registered", registered.Load)
	gateway.Expire()
	eventually(t, "registered again", func() bool {
		_, ok := gateway.Value(key)
		return ok
	})
}

func TestRetryAfterFailure(t *testing.T) {
	gateway := etcdtest.Start(t)
	gateway.SetDown(true)
	registered, _ := run(t, gateway.URL)
	time.Sleep(30 * time.Millisecond)
	if registered.Load() {
		t.Error("registered without etcd")
	}
	gateway.SetDown(false)
	eventually(t, "registered", registered.Load)
}

func TestShortFailureKeepsLease(t *testing.T) {
	gateway := etcdtest.Start(t)
	registered, _ := run(t, gateway.URL)
	eventually(t, "registered", registered.Load)
	gateway.SetDown(true)
	time.Sleep(400 * time.Millisecond)
	gateway.SetDown(false)
	eventually(t, "renewed", func() bool {
		_, _, renewals := gateway.Counts()
		return renewals >= 1
	})
	if granted, _, _ := gateway.Counts(); granted != 1 {
		t.Errorf("%d leases granted", granted)
	}
}

func TestNextMember(t *testing.T) {
	down, up := etcdtest.Start(t), etcdtest.Start(t)
	down.SetDown(true)
	registered, _ := run(t, down.URL, up.URL)
	eventually(t, "registered", registered.Load)
	if _, ok := up.Value(key); !ok {
		t.Error("the second member has no key")
	}
}

func TestStrangeAnswers(t *testing.T) {
	for _, test := range []struct{ grant, renewal string }{
		{`{}`, `{"error":{"message":"no leader"}}`},
		{`{"ID":"5"}`, `{"result":[]}`},
		{`not JSON`, `not JSON`},
		{`{"ID":5,"TTL":"1"}`, ``},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/v3/lease/grant" {
				_, _ = io.WriteString(w, test.grant)
				return
			}
			_, _ = io.WriteString(w, test.renewal)
		}))
		t.Cleanup(server.Close)
		member, _ := url.Parse(server.URL)
		c := newClient([]*url.URL{member}, time.Second)
		if _, err := c.grant(t.Context(), time.Second); err == nil {
			t.Errorf("grant %s: no error", test.grant)
		}
		if err := c.keepAlive(t.Context(), 5); err == nil || errors.Is(err, errExpired) {
			t.Errorf("renewal %s: err = %v", test.renewal, err)
		}
	}
}
