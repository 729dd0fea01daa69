// Package iamclient passes requests on to procession-iam.
package iamclient

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

// maxBody bounds an answer; a page of a thousand organizations with many members fits.
const maxBody = 16 << 20

// ErrUnavailable marks requests that got no answer.
var ErrUnavailable = errors.New("iam is not available")

// Request is what to ask.
type Request struct {
	Method string
	// Path has each part escaped already.
	Path  string
	Query string
	// Body is JSON; nil means none.
	Body []byte
}

// Response is what iam answered.
type Response struct {
	Status   int
	Location string
	Body     []byte
}

// Client asks one procession-iam.
type Client struct {
	base *url.URL
	http *http.Client
}

// New returns a client for the service at base; the timeout bounds each request.
func New(base *url.URL, timeout time.Duration) *Client {
	transport := &http.Transport{
		Proxy:                 nil, // A neighbour in the same network needs none.
		MaxIdleConnsPerHost:   32,
		MaxConnsPerHost:       256,
		IdleConnTimeout:       time.Minute,
		ResponseHeaderTimeout: timeout,
	}
	noRedirect := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &Client{
		base: &url.URL{Scheme: base.Scheme, Host: base.Host},
		http: &http.Client{Transport: transport, Timeout: timeout, CheckRedirect: noRedirect},
	}
}

// Do sends a request; the error holds ErrUnavailable if there was no whole answer.
func (c *Client) Do(ctx context.Context, r Request) (Response, error) {
	address := c.base.String() + r.Path
	if r.Query != "" {
		address += "?" + r.Query
	}
	request, err := http.NewRequestWithContext(ctx, r.Method, address, bytes.NewReader(r.Body))
	if err != nil {
		return Response{}, fmt.Errorf("ask iam: %w", err)
	}
	if r.Body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := c.http.Do(request)
	if err != nil {
		return Response{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxBody+1))
	if err != nil {
		return Response{}, fmt.Errorf("%w: read answer: %w", ErrUnavailable, err)
	}
	if len(body) > maxBody {
		return Response{}, fmt.Errorf("ask iam: answer exceeds %d bytes", maxBody)
	}
	return Response{Status: response.StatusCode, Location: response.Header.Get("Location"), Body: body}, nil
}

// Ready tells why iam cannot serve now, or returns nil.
func (c *Client) Ready(ctx context.Context) error {
	response, err := c.Do(ctx, Request{Method: http.MethodGet, Path: "/readyz"})
	if err != nil {
		return err
	}
	if response.Status != http.StatusOK {
		return fmt.Errorf("%w: it answers %d to /readyz", ErrUnavailable, response.Status)
	}
	return nil
}

// Close closes the connections that are not in use.
func (c *Client) Close() {
	c.http.CloseIdleConnections()
}
