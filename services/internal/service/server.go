package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"procession.example/services/internal/metrics"
)

// server runs the parts of one service.
type server struct {
	app      App
	log      *slog.Logger
	metrics  *metrics.Registry
	grace    time.Duration
	stopping atomic.Bool
}

// run serves until ctx ends and then stops within the grace time.
func (s *server) run(ctx context.Context, address string) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	s.log.Info("listening", "address", listener.Addr().String())
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	tasksDone := s.startTasks(ctx)
	web := s.newHTTPServer()
	failed := make(chan error, 1)
	go func() { failed <- web.Serve(listener) }()
	select {
	case err = <-failed:
		cancel()
		err = fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	return errors.Join(err, s.stop(web, tasksDone))
}

func (s *server) newHTTPServer() *http.Server {
	return &http.Server{
		Handler:           s.handler(),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      60 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
	}
}

// startTasks returns a channel that is closed after the last task.
func (s *server) startTasks(ctx context.Context) <-chan struct{} {
	var tasks sync.WaitGroup
	for _, task := range s.app.Tasks {
		tasks.Go(func() { task(ctx) })
	}
	done := make(chan struct{})
	go func() {
		tasks.Wait()
		close(done)
	}()
	return done
}

// stop lets requests in flight and tasks finish, but not for longer than the grace time.
func (s *server) stop(web *http.Server, tasksDone <-chan struct{}) error {
	s.stopping.Store(true)
	s.log.Info("stopping", "grace", s.grace.String())
	ctx, cancel := context.WithTimeout(context.Background(), s.grace)
	defer cancel()
	if err := web.Shutdown(ctx); err != nil {
		return errors.Join(fmt.Errorf("requests still in flight after %v: %w", s.grace, err), web.Close())
	}
	select {
	case <-tasksDone:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("tasks still running after %v", s.grace)
	}
}
