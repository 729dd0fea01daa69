// Package service runs an HTTP service from its command line to its graceful stop.
package service

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"procession.example/services/internal/config"
	"procession.example/services/internal/logging"
	"procession.example/services/internal/metrics"
)

// Exit codes of a program.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
)

// Program describes the executable of a service.
type Program struct {
	Name    string
	Version string
	// Prefix starts the names of the service's environment variables.
	Prefix string
	// Listen is the address to listen on unless the environment gives another.
	Listen string
	Setup  Setup
}

// Setup reads the variables that only this service has and returns how to start it,
// which is called only if all variables are right.
type Setup func(env *config.Env) Start

// Start prepares the parts of the service.
type Start func(kit Kit) (App, error)

// Kit is what every service gets.
type Kit struct {
	Log     *slog.Logger
	Metrics *metrics.Registry
	Version string
	Listen  string
}

// App holds the parts of a service.
type App struct {
	Handler http.Handler
	// Ready tells why the service cannot serve now, or nil.
	Ready func(context.Context) error
	// Tasks run beside the server until their context ends.
	Tasks []func(context.Context)
	// Close is called after the last request; nil means nothing to close.
	Close func() error
}

// settings are the variables that every service has.
type settings struct {
	listen string
	level  slog.Level
	grace  time.Duration
}

func (p Program) read(env *config.Env) settings {
	return settings{
		listen: env.Listen(p.Prefix+"_LISTEN", p.Listen),
		level:  env.Level("PROCESSION_LOG_LEVEL", slog.LevelInfo),
		grace:  env.Duration(p.Prefix+"_STOP_TIMEOUT", 8*time.Second, time.Second, 10*time.Minute),
	}
}

// Main runs the program and returns its exit code.
func (p Program) Main(args []string, lookup config.Lookup, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet(p.Name, flag.ContinueOnError)
	flags.SetOutput(stderr)
	version := flags.Bool("version", false, "print the version and exit")
	check := flags.Bool("healthcheck", false, "ask the running service for its health and exit with 0 or 1")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return exitOK
	} else if err != nil {
		return exitUsage
	}
	if flags.NArg() > 0 {
		fmt.Fprintf(stderr, "%s: unexpected argument %q\n", p.Name, flags.Arg(0))
		return exitUsage
	}
	switch {
	case *version:
		fmt.Fprintln(stdout, p.Version)
		return exitOK
	case *check:
		return p.healthcheck(lookup, stderr)
	}
	return p.serve(lookup, stderr)
}

// serve runs the service until a signal to stop; a second signal ends it at once.
func (p Program) serve(lookup config.Lookup, stderr io.Writer) int {
	env := config.NewEnv(lookup)
	common := p.read(env)
	start := p.Setup(env)
	log := logging.New(stderr, common.level, p.Name, p.Version)
	if err := env.Err(); err != nil {
		logConfigError(log, err)
		return exitUsage
	}
	ctx, restore := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer restore()
	context.AfterFunc(ctx, restore)
	if err := p.run(ctx, log, common, start); err != nil {
		log.Error("service failed", "error", err)
		return exitFailure
	}
	log.Info("stopped")
	return exitOK
}

func logConfigError(log *slog.Logger, err error) {
	var wrong *config.Error
	if errors.As(err, &wrong) {
		log.Error("wrong configuration", "problems", wrong.Problems)
	}
}

func (p Program) run(ctx context.Context, log *slog.Logger, common settings, start Start) error {
	registry := new(metrics.Registry)
	registry.NewGauge("procession_build_info", "Always 1; the labels describe the build.", "service", "version", "goversion").
		Set(1, p.Name, p.Version, runtime.Version())
	app, err := start(Kit{Log: log, Metrics: registry, Version: p.Version, Listen: common.listen})
	if err != nil {
		return fmt.Errorf("start: %w", err)
	}
	s := &server{app: app, log: log, metrics: registry, grace: common.grace}
	err = s.run(ctx, common.listen)
	if app.Close != nil {
		err = errors.Join(err, app.Close())
	}
	return err
}
