package etcd

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"time"
)

// Waits between attempts to register, and the time to revoke at the end.
const (
	leastWait     = 500 * time.Millisecond
	mostWait      = 30 * time.Second
	callTimeout   = 3 * time.Second
	revokeTimeout = 3 * time.Second
)

// Options describe a registration.
type Options struct {
	// Members are the URLs of the etcd cluster.
	Members []*url.URL
	Key     string
	Value   []byte
	// TTL is how long the key outlives a service that was killed, in whole seconds.
	TTL time.Duration
	Log *slog.Logger
	// Changed is told when the key begins or ceases to be registered.
	Changed func(registered bool)
}

// Registration keeps a key in etcd.
type Registration struct {
	options Options
	client  *client
	// wait is the shortest wait between attempts.
	wait time.Duration
}

// New prepares a registration.
func New(options Options) *Registration {
	return &Registration{options: options, client: newClient(options.Members, callTimeout), wait: leastWait}
}

// Run registers the key again and again until ctx ends, and then removes it.
func (r *Registration) Run(ctx context.Context) {
	defer r.client.http.CloseIdleConnections()
	wait := r.wait
	for {
		registered, err := r.session(ctx)
		r.options.Changed(false)
		if ctx.Err() != nil {
			return
		}
		if registered {
			wait = r.wait
		}
		r.options.Log.Warn("not registered in etcd", "key", r.options.Key, "retry_in", wait.String(), "error", err)
		// Services that lost the same etcd should not come back all at once.
		if !sleep(ctx, wait/2+rand.N(wait/2+1)) {
			return
		}
		wait = min(2*wait, mostWait)
	}
}

// session holds one lease; it reports whether the key was registered and why it no longer is.
func (r *Registration) session(ctx context.Context) (bool, error) {
	held, err := r.client.grant(ctx, r.options.TTL)
	if err != nil {
		return false, err
	}
	defer r.revokeAtStop(ctx, held.ID)
	if err := r.client.put(ctx, r.options.Key, r.options.Value, held.ID); err != nil {
		return false, err
	}
	r.options.Log.Info("registered in etcd", "key", r.options.Key, "lease", held.ID)
	r.options.Changed(true)
	return true, r.hold(ctx, held)
}

// hold renews the lease until ctx ends, etcd has dropped it, or it must have expired.
func (r *Registration) hold(ctx context.Context, held lease) error {
	ttl := time.Duration(held.TTL) * time.Second
	renewed := time.Now()
	for sleep(ctx, ttl/3) {
		begin := time.Now()
		err := r.client.keepAlive(ctx, held.ID)
		switch {
		case err == nil:
			renewed = begin
		case errors.Is(err, errExpired), time.Since(renewed) >= ttl:
			return err
		default:
			r.options.Log.Debug("lease was not renewed", "lease", held.ID, "error", err)
		}
	}
	return ctx.Err()
}

// revokeAtStop removes the key at once, rather than when the lease would expire. After a failure
// the lease is left alone, since the next session takes over the key.
func (r *Registration) revokeAtStop(ctx context.Context, id int64) {
	if ctx.Err() == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), revokeTimeout)
	defer cancel()
	if err := r.client.revoke(ctx, id); err != nil {
		r.options.Log.Warn("lease was not revoked", "lease", id, "error", err)
		return
	}
	r.options.Log.Info("removed from etcd", "key", r.options.Key)
}

// sleep reports whether the time went by before ctx ended.
func sleep(ctx context.Context, duration time.Duration) bool {
	timer := time.NewTimer(duration)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
