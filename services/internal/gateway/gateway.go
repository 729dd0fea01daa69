// Package gateway serves the clients of Procession and passes their requests on to procession-iam.
package gateway

import (
	"net/url"
	"time"

	"procession.example/services/internal/config"
	"procession.example/services/internal/httpjson"
	"procession.example/services/internal/iamclient"
	"procession.example/services/internal/service"
)

// iamTimeout bounds requests to iam, well below the time that clients usually wait.
const iamTimeout = 5 * time.Second

// settings are the variables that only this service has.
type settings struct {
	iam       *url.URL
	memcached string
	etcd      []*url.URL
	advertise string
}

// Program returns the executable of the service.
func Program(version string) service.Program {
	return service.Program{
		Name:    "procession-api",
		Version: version,
		Prefix:  "PROCESSION_API",
		Listen:  ":8080",
		Setup:   setup,
	}
}

func setup(env *config.Env) service.Start {
	s := settings{
		iam:       env.URL("PROCESSION_API_IAM", "http://localhost:8081"),
		memcached: env.OptionalHostPort("PROCESSION_API_MEMCACHED"),
		etcd:      env.OptionalURLs("PROCESSION_API_ETCD"),
		advertise: env.OptionalHostPort("PROCESSION_API_ADVERTISE"),
	}
	return s.start
}

func (s settings) start(kit service.Kit) (service.App, error) {
	iam := iamclient.New(s.iam, iamTimeout)
	cache := newCache(s.memcached, kit)
	app := service.App{
		Handler: httpjson.Router(newRoutes(iam, cache, kit.Log)),
		Ready:   iam.Ready,
		Close: func() error {
			iam.Close()
			return cache.close()
		},
	}
	if len(s.etcd) > 0 {
		registration, err := s.registration(kit)
		if err != nil {
			return service.App{}, err
		}
		app.Tasks = append(app.Tasks, registration.Run)
	}
	return app, nil
}
