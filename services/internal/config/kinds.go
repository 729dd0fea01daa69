package config

import (
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Listen reads an address to listen on; the host part may be empty.
func (e *Env) Listen(name, fallback string) string {
	return read(e, name, fallback, "an address as [host]:port with a port of 0 to 65535", func(text string) (string, bool) {
		_, port, err := net.SplitHostPort(text)
		return text, err == nil && validPort(port, 0)
	})
}

// OptionalHostPort reads the address of a server, or nothing.
func (e *Env) OptionalHostPort(name string) string {
	return read(e, name, "", "an address as host:port with a port of 1 to 65535", optional(func(text string) (string, bool) {
		host, port, err := net.SplitHostPort(text)
		return text, err == nil && host != "" && validPort(port, 1)
	}))
}

// URL reads an http or https URL of a server.
func (e *Env) URL(name, fallback string) *url.URL {
	return read(e, name, fallback, "a URL as http(s)://host[:port] without user, path, query and fragment", parseURL)
}

// OptionalURLs reads URLs separated by commas, or nothing.
func (e *Env) OptionalURLs(name string) []*url.URL {
	return read(e, name, "", "URLs as http(s)://host[:port], separated by commas", optional(parseURLs))
}

// Folder reads an absolute path.
func (e *Env) Folder(name, fallback string) string {
	return read(e, name, fallback, "an absolute path", func(text string) (string, bool) {
		return filepath.Clean(text), filepath.IsAbs(text)
	})
}

// Duration reads a duration between least and most.
func (e *Env) Duration(name string, fallback, least, most time.Duration) time.Duration {
	rule := fmt.Sprintf("a duration from %v to %v", least, most)
	return read(e, name, fallback.String(), rule, func(text string) (time.Duration, bool) {
		value, err := time.ParseDuration(text)
		return value, err == nil && least <= value && value <= most
	})
}

// Level reads the least level of messages to log.
func (e *Env) Level(name string, fallback slog.Level) slog.Level {
	return read(e, name, fallback.String(), "one of debug, info, warn, error", func(text string) (slog.Level, bool) {
		switch strings.ToLower(text) {
		case "debug":
			return slog.LevelDebug, true
		case "info":
			return slog.LevelInfo, true
		case "warn":
			return slog.LevelWarn, true
		case "error":
			return slog.LevelError, true
		}
		return fallback, false
	})
}

func validPort(text string, least uint64) bool {
	port, err := strconv.ParseUint(text, 10, 16)
	return err == nil && port >= least
}

func parseURLs(text string) ([]*url.URL, bool) {
	var all []*url.URL
	for part := range strings.SplitSeq(text, ",") {
		one, ok := parseURL(strings.TrimSpace(part))
		if !ok {
			return nil, false
		}
		all = append(all, one)
	}
	return all, true
}

func parseURL(text string) (*url.URL, bool) {
	parsed, err := url.Parse(text)
	if err != nil {
		return nil, false
	}
	known := parsed.Scheme == "http" || parsed.Scheme == "https"
	bare := parsed.User == nil && strings.Trim(parsed.Path, "/") == "" && parsed.RawQuery == "" && parsed.Fragment == ""
	port := parsed.Port()
	return parsed, known && bare && parsed.Hostname() != "" && (port == "" || validPort(port, 1))
}
