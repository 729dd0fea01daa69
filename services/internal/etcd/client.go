// Package etcd keeps a key in etcd while a service runs, through the JSON gateway of the v3 API.
package etcd

import (
	"bytes"
	"context"
	"encoding/json/v2"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

// maxAnswer bounds an answer; all that are expected are far smaller.
const maxAnswer = 64 << 10

// errExpired tells that etcd no longer knows a lease.
var errExpired = errors.New("lease has expired")

// client speaks to the first of several members of a cluster that answers.
type client struct {
	members []*url.URL
	timeout time.Duration
	http    *http.Client
}

// newClient bounds each attempt at one member by timeout.
func newClient(members []*url.URL, timeout time.Duration) *client {
	transport := &http.Transport{IdleConnTimeout: time.Minute}
	return &client{members: members, timeout: timeout, http: &http.Client{Transport: transport}}
}

// The gateway writes 64 bit numbers as strings, leaves out zeros, and bytes are base64.
type (
	lease struct {
		ID  int64 `json:"ID,string,omitzero"`
		TTL int64 `json:"TTL,string,omitzero"`
	}
	put struct {
		Key   []byte `json:"key"`
		Value []byte `json:"value"`
		Lease int64  `json:"lease,string"`
	}
	keepAlive struct {
		Result lease    `json:"result"`
		Error  *failure `json:"error"`
	}
	failure struct {
		Message string `json:"message"`
	}
	nothing struct{}
)

// grant returns a new lease that ends unless it is kept alive.
func (c *client) grant(ctx context.Context, ttl time.Duration) (lease, error) {
	var got lease
	err := c.call(ctx, "/v3/lease/grant", lease{TTL: int64(ttl / time.Second)}, &got)
	if err == nil && (got.ID == 0 || got.TTL <= 0) {
		err = errors.New("etcd /v3/lease/grant: answer has no lease")
	}
	return got, err
}

// put stores a key that etcd removes together with the lease.
func (c *client) put(ctx context.Context, key string, value []byte, id int64) error {
	return c.call(ctx, "/v3/kv/put", put{[]byte(key), value, id}, &nothing{})
}

// keepAlive renews a lease or returns errExpired.
func (c *client) keepAlive(ctx context.Context, id int64) error {
	var got keepAlive
	if err := c.call(ctx, "/v3/lease/keepalive", lease{ID: id}, &got); err != nil {
		return err
	}
	if got.Error != nil {
		return fmt.Errorf("etcd /v3/lease/keepalive: %s", got.Error.Message)
	}
	if got.Result.TTL <= 0 {
		return errExpired
	}
	return nil
}

// revoke ends a lease and removes its key.
func (c *client) revoke(ctx context.Context, id int64) error {
	return c.call(ctx, "/v3/lease/revoke", lease{ID: id}, &nothing{})
}

// call tries the members in order until one answers.
func (c *client) call(ctx context.Context, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("etcd %s: %w", path, err)
	}
	var failures []error
	for _, member := range c.members {
		answer, err := c.post(ctx, member.JoinPath(path).String(), body)
		if err == nil {
			err = json.Unmarshal(answer, out)
		}
		if err == nil {
			return nil
		}
		failures = append(failures, fmt.Errorf("etcd %s%s: %w", member.Host, path, err))
	}
	return errors.Join(failures...)
}

func (c *client) post(ctx context.Context, address string, body []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := c.http.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("status %s: %.200q", response.Status, answer)
	}
	return answer, nil
}
