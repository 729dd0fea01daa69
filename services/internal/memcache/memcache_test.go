package memcache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"procession.example/services/internal/memcache/memcachetest"
)

func newClient(t *testing.T, address string) *Client {
	t.Helper()
	c := New(address, time.Second)
	t.Cleanup(func() { c.Close() })
	return c
}

func TestOperations(t *testing.T) {
	c := newClient(t, memcachetest.Start(t).Address())
	ctx := t.Context()
	if _, err := c.Get(ctx, "a"); !errors.Is(err, ErrMiss) {
		t.Fatalf("err = %v", err)
	}
	for _, value := range []string{"", "one", "two\r\nEND\r\n", strings.Repeat("x", 100_000)} {
		if err := c.Set(ctx, "a", []byte(value), time.Minute); err != nil {
			t.Fatal(err)
		}
		if got, err := c.Get(ctx, "a"); err != nil || string(got) != value {
			t.Fatalf("got %.20q, err = %v", got, err)
		}
	}
	if err := c.Add(ctx, "a", []byte("new"), time.Minute); !errors.Is(err, ErrNotStored) {
		t.Errorf("err = %v", err)
	}
	for range 2 {
		if err := c.Delete(ctx, "a"); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Add(ctx, "a", []byte("new"), time.Millisecond); err != nil {
		t.Error(err)
	}
	if got := len(c.idle); got != 1 {
		t.Errorf("%d idle connections", got)
	}
}

func TestKeys(t *testing.T) {
	c := newClient(t, "127.0.0.1:1")
	for _, key := range []string{"", "a b", "a\r\nflush_all", "a\x7f", strings.Repeat("k", 251)} {
		if _, err := c.Get(t.Context(), key); err == nil || !strings.Contains(err.Error(), "not valid") {
			t.Errorf("%q: err = %v", key, err)
		}
	}
}

func TestClosedConnectionIsReplaced(t *testing.T) {
	server := memcachetest.Start(t)
	c := newClient(t, server.Address())
	for range 3 {
		if err := c.Set(t.Context(), "a", []byte("1"), time.Minute); err != nil {
			t.Fatal(err)
		}
		server.Disconnect()
	}
	server.Stop()
	if err := c.Set(t.Context(), "a", []byte("1"), time.Minute); err == nil {
		t.Error("no error without a server")
	}
}

func TestConcurrentUse(t *testing.T) {
	c := newClient(t, memcachetest.Start(t).Address())
	var all sync.WaitGroup
	for i := range 32 {
		all.Go(func() {
			key := fmt.Sprint("key", i)
			for range 20 {
				if err := c.Set(t.Context(), key, []byte(key), time.Minute); err != nil {
					t.Error(err)
				}
				if got, err := c.Get(t.Context(), key); err != nil || string(got) != key {
					t.Errorf("got %q, err = %v", got, err)
				}
			}
		})
	}
	all.Wait()
}

// answerWith serves the same answer to each connection.
func answerWith(t *testing.T, answer string) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(c, answer)
			t.Cleanup(func() { c.Close() })
		}
	}()
	return listener.Addr().String()
}

func TestStrangeAnswers(t *testing.T) {
	for _, answer := range []string{
		"SERVER_ERROR out of memory\r\n", "VALUE b 0 1\r\nx\r\nEND\r\n", "VALUE a 0 -1\r\n", "VALUE a 0 99999999\r\n",
		"VALUE a 0 1\r\nxyz\r\nEND\r\n", "VALUE a 0 1\r\nx\r\nVALUE b 0 1\r\n", strings.Repeat("x", 10_000) + "\r\n",
	} {
		c := newClient(t, answerWith(t, answer))
		if _, err := c.Get(t.Context(), "a"); err == nil || errors.Is(err, ErrMiss) {
			t.Errorf("get: %.30q: err = %v", answer, err)
		}
		if err := c.Set(t.Context(), "a", nil, time.Minute); err == nil {
			t.Errorf("set: %.30q: no error", answer)
		}
		if err := c.Delete(t.Context(), "a"); err == nil {
			t.Errorf("delete: %.30q: no error", answer)
		}
		if len(c.idle) != 0 {
			t.Errorf("%.30q: connection was kept", answer)
		}
	}
}

func TestSilentServer(t *testing.T) {
	c := New(answerWith(t, ""), 50*time.Millisecond)
	if _, err := c.Get(t.Context(), "a"); err == nil {
		t.Error("no error from a silent server")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := New(c.address, time.Minute).Get(ctx, "a"); err == nil {
		t.Error("no error after cancel")
	}
}
