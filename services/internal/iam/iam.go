// Package iam serves the directory of users and organizations over HTTP.
package iam

import (
	"context"

	"procession.example/services/internal/config"
	"procession.example/services/internal/directory"
	"procession.example/services/internal/httpjson"
	"procession.example/services/internal/service"
)

// Program returns the executable of the service.
func Program(version string) service.Program {
	return service.Program{
		Name:    "procession-iam",
		Version: version,
		Prefix:  "PROCESSION_IAM",
		Listen:  ":8081",
		Setup:   setup,
	}
}

func setup(env *config.Env) service.Start {
	folder := env.Folder("PROCESSION_IAM_DATA", "/var/lib/procession-iam")
	return func(kit service.Kit) (service.App, error) {
		users, err := directory.Open(folder, kit.Log)
		if err != nil {
			return service.App{}, err
		}
		return service.App{
			Handler: httpjson.Router(newRoutes(users, kit.Log)),
			Ready:   func(context.Context) error { return users.Ready() },
			Close:   users.Close,
		}, nil
	}
}
