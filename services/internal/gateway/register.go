package gateway

import (
	"encoding/json/v2"
	"fmt"
	"net"
	"os"
	"time"

	"procession.example/services/internal/etcd"
	"procession.example/services/internal/service"
)

const (
	registryFolder = "/procession/services/procession-api/"
	registryTTL    = 15 * time.Second
)

// instance is what others find in etcd.
type instance struct {
	Address string    `json:"address"`
	Version string    `json:"version"`
	Started time.Time `json:"started"`
}

func (s settings) registration(kit service.Kit) (*etcd.Registration, error) {
	address, err := s.address(kit.Listen)
	if err != nil {
		return nil, err
	}
	value, err := json.Marshal(instance{Address: address, Version: kit.Version, Started: time.Now().UTC().Truncate(time.Second)})
	if err != nil {
		return nil, fmt.Errorf("describe instance: %w", err)
	}
	registered := kit.Metrics.NewGauge("procession_etcd_registered", "Whether this instance is registered in etcd.")
	registered.Set(0)
	return etcd.New(etcd.Options{
		Members: s.etcd,
		Key:     registryFolder + address,
		Value:   value,
		TTL:     registryTTL,
		Log:     kit.Log,
		Changed: func(now bool) {
			if now {
				registered.Set(1)
				return
			}
			registered.Set(0)
		},
	}), nil
}

// address is where others reach this instance; the host name of a container resolves in its network.
func (s settings) address(listen string) (string, error) {
	if s.advertise != "" {
		return s.advertise, nil
	}
	host, err := os.Hostname()
	if err != nil {
		return "", fmt.Errorf("find own address: %w", err)
	}
	_, port, err := net.SplitHostPort(listen)
	if err != nil {
		return "", fmt.Errorf("find own address: %w", err)
	}
	return net.JoinHostPort(host, port), nil
}
