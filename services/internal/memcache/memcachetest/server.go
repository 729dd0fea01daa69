// Package memcachetest offers a memcached for tests.
package memcachetest

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// Server keeps values in memory until the test ends.
type Server struct {
	listener net.Listener
	mu       sync.Mutex
	values   map[string]string
	open     map[net.Conn]bool
}

// Start serves on a free loopback port.
func Start(t *testing.T) *Server {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{listener: listener, values: make(map[string]string), open: make(map[net.Conn]bool)}
	go s.accept()
	t.Cleanup(s.Stop)
	return s
}

// Address is where the server listens.
func (s *Server) Address() string {
	return s.listener.Addr().String()
}

// Values returns the number of values.
func (s *Server) Values() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.values)
}

// Disconnect closes all connections.
func (s *Server) Disconnect() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.open {
		c.Close()
	}
}

// Stop refuses connections from now on.
func (s *Server) Stop() {
	s.listener.Close()
	s.Disconnect()
}

func (s *Server) accept() {
	for {
		c, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.open[c] = true
		s.mu.Unlock()
		go s.serve(c)
	}
}

func (s *Server) serve(c net.Conn) {
	in := bufio.NewReader(c)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			break
		}
		if _, err := io.WriteString(c, s.answer(strings.Fields(line), in)); err != nil {
			break
		}
	}
	c.Close()
	s.mu.Lock()
	delete(s.open, c)
	s.mu.Unlock()
}

func (s *Server) answer(words []string, in io.Reader) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case len(words) == 2 && words[0] == "get":
		if value, ok := s.values[words[1]]; ok {
			return fmt.Sprintf("VALUE %s 0 %d\r\n%s\r\nEND\r\n", words[1], len(value), value)
		}
		return "END\r\n"
	case len(words) == 5 && (words[0] == "set" || words[0] == "add"):
		return s.store(words, in)
	case len(words) == 2 && words[0] == "delete":
		if _, ok := s.values[words[1]]; !ok {
			return "NOT_FOUND\r\n"
		}
		delete(s.values, words[1])
		return "DELETED\r\n"
	}
	return "ERROR\r\n"
}

func (s *Server) store(words []string, in io.Reader) string {
	size, err := strconv.Atoi(words[4])
	if err != nil {
		return "CLIENT_ERROR bad size\r\n"
	}
	value := make([]byte, size+2)
	if _, err := io.ReadFull(in, value); err != nil || words[3] == "0" {
		return "CLIENT_ERROR bad value\r\n"
	}
	if _, ok := s.values[words[1]]; ok && words[0] == "add" {
		return "NOT_STORED\r\n"
	}
	s.values[words[1]] = string(value[:size])
	return "STORED\r\n"
}
