package memcache

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// conn is a connection on which one operation runs at a time.
type conn struct {
	net.Conn
	in *bufio.Reader
}

func newConn(raw net.Conn) *conn {
	return &conn{Conn: raw, in: bufio.NewReader(raw)}
}

func (n *conn) get(key string) ([]byte, error) {
	line, err := n.command("get "+key, nil)
	if err != nil {
		return nil, err
	}
	if line == "END" {
		return nil, ErrMiss
	}
	size, err := valueSize(line, key)
	if err != nil {
		return nil, err
	}
	value := make([]byte, size+len("\r\n"))
	if _, err := io.ReadFull(n.in, value); err != nil {
		return nil, fmt.Errorf("memcache: %w", err)
	}
	if end, err := n.line(); err != nil || end != "END" || string(value[size:]) != "\r\n" {
		return nil, errors.Join(fmt.Errorf("memcache: value of %q has no end", key), err)
	}
	return value[:size], nil
}

// valueSize reads "VALUE <key> <flags> <size>".
func valueSize(line, key string) (int, error) {
	parts := strings.Fields(line)
	if len(parts) != 4 || parts[0] != "VALUE" || parts[1] != key {
		return 0, unexpected(line)
	}
	size, err := strconv.Atoi(parts[3])
	if err != nil || size < 0 || size > MaxValue {
		return 0, unexpected(line)
	}
	return size, nil
}

func (n *conn) store(verb, key string, value []byte, ttl time.Duration) error {
	// memcached takes a zero as forever and a large number as a date.
	seconds := min(max(int64(ttl/time.Second), 1), 30*24*60*60)
	line, err := n.command(fmt.Sprintf("%s %s 0 %d %d", verb, key, seconds, len(value)), append(value[:len(value):len(value)], "\r\n"...))
	switch {
	case err != nil:
		return err
	case line == "STORED":
		return nil
	case line == "NOT_STORED":
		return ErrNotStored
	}
	return unexpected(line)
}

func (n *conn) delete(key string) error {
	line, err := n.command("delete "+key, nil)
	if err != nil || line == "DELETED" || line == "NOT_FOUND" {
		return err
	}
	return unexpected(line)
}

// command sends a command with its data and returns the first line of the answer.
func (n *conn) command(text string, data []byte) (string, error) {
	if _, err := n.Write(append([]byte(text+"\r\n"), data...)); err != nil {
		return "", fmt.Errorf("memcache: %w", err)
	}
	return n.line()
}

func (n *conn) line() (string, error) {
	line, err := n.in.ReadSlice('\n')
	if err != nil {
		return "", fmt.Errorf("memcache: %w", err)
	}
	return strings.TrimRight(string(line), "\r\n"), nil
}

func unexpected(line string) error {
	return fmt.Errorf("memcache: unexpected answer %q", line)
}
