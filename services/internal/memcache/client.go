// Package memcache is a client for one memcached server and its text protocol.
package memcache

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"
)

// Errors that are no failure of the server.
var (
	ErrMiss      = errors.New("memcache: no such key")
	ErrNotStored = errors.New("memcache: key exists already")
)

// MaxValue is the size of the largest value, which is the limit of a memcached by default.
const MaxValue = 1 << 20

const (
	maxKey  = 250
	maxIdle = 16
)

// Client talks to a memcached and is safe for concurrent use.
type Client struct {
	address string
	timeout time.Duration
	idle    chan *conn
}

// New returns a client; the timeout bounds each operation.
func New(address string, timeout time.Duration) *Client {
	return &Client{address: address, timeout: timeout, idle: make(chan *conn, maxIdle)}
}

// Get returns the value of a key, or ErrMiss.
func (c *Client) Get(ctx context.Context, key string) ([]byte, error) {
	var value []byte
	err := c.do(ctx, key, func(n *conn) (err error) {
		value, err = n.get(key)
		return err
	})
	return value, err
}

// Set stores a value for some time, which has a precision of seconds.
func (c *Client) Set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	return c.do(ctx, key, func(n *conn) error { return n.store("set", key, value, ttl) })
}

// Add stores a value as Set does, or returns ErrNotStored if the key exists.
func (c *Client) Add(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	return c.do(ctx, key, func(n *conn) error { return n.store("add", key, value, ttl) })
}

// Delete removes a key, if it exists.
func (c *Client) Delete(ctx context.Context, key string) error {
	return c.do(ctx, key, func(n *conn) error { return n.delete(key) })
}

// Close closes the connections that are not in use.
func (c *Client) Close() error {
	var all error
	for {
		select {
		case n := <-c.idle:
			all = errors.Join(all, n.Close())
		default:
			return all
		}
	}
}

// do runs an operation, once more if it failed on a connection that the server may have closed before.
func (c *Client) do(ctx context.Context, key string, operate func(*conn) error) error {
	if !validKey(key) {
		return fmt.Errorf("memcache: key %q is not valid", key)
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	select {
	case n := <-c.idle:
		if err := c.use(ctx, n, operate); answered(err) {
			return err
		}
	default:
	}
	n, err := dial(ctx, c.address)
	if err != nil {
		return fmt.Errorf("memcache: %w", err)
	}
	return c.use(ctx, n, operate)
}

// use runs an operation on a connection and keeps the connection if it is in a known state then.
func (c *Client) use(ctx context.Context, n *conn, operate func(*conn) error) error {
	deadline, _ := ctx.Deadline()
	if err := n.SetDeadline(deadline); err != nil {
		return errors.Join(fmt.Errorf("memcache: %w", err), n.Close())
	}
	interrupt := context.AfterFunc(ctx, func() { _ = n.SetDeadline(time.Unix(1, 0)) })
	err := operate(n)
	if !interrupt() || !answered(err) {
		return errors.Join(err, n.Close())
	}
	select {
	case c.idle <- n:
		return err
	default:
		return errors.Join(err, n.Close())
	}
}

// answered reports whether the server gave a complete answer.
func answered(err error) bool {
	return err == nil || errors.Is(err, ErrMiss) || errors.Is(err, ErrNotStored)
}

func validKey(key string) bool {
	bad := func(r rune) bool { return r <= ' ' || r == 0x7f }
	return key != "" && len(key) <= maxKey && !strings.ContainsFunc(key, bad)
}

func dial(ctx context.Context, address string) (*conn, error) {
	var dialer net.Dialer
	raw, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return newConn(raw), nil
}
