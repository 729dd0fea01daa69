package service

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"procession.example/services/internal/config"
)

// healthcheck asks the service that runs with the same environment for its health.
func (p Program) healthcheck(lookup config.Lookup, stderr io.Writer) int {
	env := config.NewEnv(lookup)
	common := p.read(env)
	err := env.Err()
	if err == nil {
		err = askHealth(common.listen)
	}
	if err != nil {
		fmt.Fprintf(stderr, "%s: healthcheck: %v\n", p.Name, err)
		return exitFailure
	}
	return exitOK
}

func askHealth(listen string) error {
	address, err := loopback(listen)
	if err != nil {
		return err
	}
	// A transport of its own, because the default one may go through a proxy.
	client := &http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get("http://" + address + "/healthz")
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("status %s", response.Status)
	}
	return nil
}

// loopback returns where to reach a service that listens on the address.
func loopback(listen string) (string, error) {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return "", err
	}
	if port == "0" {
		return "", errors.New("port 0 is not known beforehand")
	}
	ip := net.ParseIP(host)
	switch {
	case host == "" || (ip.IsUnspecified() && ip.To4() != nil):
		host = "127.0.0.1"
	case ip.IsUnspecified():
		host = "::1"
	}
	return net.JoinHostPort(host, port), nil
}
