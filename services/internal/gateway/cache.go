package gateway

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"log/slog"
	"time"

	"procession.example/services/internal/memcache"
	"procession.example/services/internal/metrics"
	"procession.example/services/internal/service"
)

const (
	cacheTimeout  = 250 * time.Millisecond
	cacheTTL      = 30 * time.Second
	epochKey      = "procession:epoch"
	epochTTL      = time.Hour
	maxCacheValue = memcache.MaxValue / 2
)

// cache keeps answers of iam in memcached under keys that hold an epoch. A write ends the epoch, so
// that nothing read before it can be found any more, not even if it is stored after the write. Should
// memcached miss the end of an epoch, answers are stale for cacheTTL at most.
type cache struct {
	client  *memcache.Client
	log     *slog.Logger
	results *metrics.Counter
}

// newCache returns a cache that holds nothing if there is no address.
func newCache(address string, kit service.Kit) *cache {
	c := &cache{log: kit.Log}
	if address != "" {
		c.client = memcache.New(address, cacheTimeout)
		c.results = kit.Metrics.NewCounter("procession_cache_requests_total", "Requests to the cache by result.", "result")
	}
	return c
}

// slot is the place of one answer; nil means that it can be neither found nor kept.
type slot struct {
	cache *cache
	key   string
}

// slot must be called before asking iam, so that an answer belongs to the epoch in which it was asked for.
func (c *cache) slot(ctx context.Context, request string) *slot {
	if c.client == nil {
		return nil
	}
	epoch, err := c.epoch(ctx)
	if err != nil {
		c.failed("read epoch", err)
		return nil
	}
	sum := sha256.Sum256([]byte(request))
	return &slot{cache: c, key: "procession:" + epoch + ":" + hex.EncodeToString(sum[:])}
}

// epoch returns the current epoch and begins one if there is none.
func (c *cache) epoch(ctx context.Context) (string, error) {
	epoch, err := c.client.Get(ctx, epochKey)
	if !errors.Is(err, memcache.ErrMiss) {
		return string(epoch), err
	}
	fresh := rand.Text()
	err = c.client.Add(ctx, epochKey, []byte(fresh), epochTTL)
	if errors.Is(err, memcache.ErrNotStored) {
		epoch, err = c.client.Get(ctx, epochKey)
		return string(epoch), err
	}
	return fresh, err
}

// find returns the answer kept in the slot.
func (s *slot) find(ctx context.Context) ([]byte, bool) {
	if s == nil {
		return nil, false
	}
	body, err := s.cache.client.Get(ctx, s.key)
	switch {
	case err == nil:
		s.cache.results.Add("hit")
		return body, true
	case errors.Is(err, memcache.ErrMiss):
		s.cache.results.Add("miss")
	default:
		s.cache.failed("find", err)
	}
	return nil, false
}

// keep stores an answer in the slot.
func (s *slot) keep(ctx context.Context, body []byte) {
	if s == nil || len(body) > maxCacheValue {
		return
	}
	if err := s.cache.client.Set(ctx, s.key, body, cacheTTL); err != nil {
		s.cache.failed("keep", err)
	}
}

// invalidate ends the epoch, even if the client that caused it has gone.
func (c *cache) invalidate(ctx context.Context) {
	if c.client == nil {
		return
	}
	if err := c.client.Delete(context.WithoutCancel(ctx), epochKey); err != nil {
		c.failed("invalidate", err)
	}
}

func (c *cache) failed(operation string, err error) {
	c.results.Add("error")
	c.log.Warn("cache failed", "operation", operation, "error", err)
}

func (c *cache) close() error {
	if c.client == nil {
		return nil
	}
	return c.client.Close()
}
