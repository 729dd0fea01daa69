package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"procession.example/services/internal/etcd/etcdtest"
	"procession.example/services/internal/httpjson"
	"procession.example/services/internal/proctest"
)

const registryKey = "/procession/services/procession-api/api.test:80"

// TestTermination checks that SIGTERM lets a request end and removes the service from etcd.
func TestTermination(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	iam := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(entered)
		<-release
		httpjson.Write(w, http.StatusOK, "done")
	}))
	t.Cleanup(iam.Close)
	etcd := etcdtest.Start(t)
	p := proctest.Start(t, proctest.Build(t, ""), "PROCESSION_API_LISTEN=127.0.0.1:0", "PROCESSION_API_IAM="+iam.URL,
		"PROCESSION_API_ETCD="+etcd.URL.String(), "PROCESSION_API_ADVERTISE=api.test:80")
	waitForKey(t, etcd, true)

	type answer struct {
		status int
		body   string
		err    error
	}
	answers := make(chan answer, 1)
	go func() {
		status, body, err := p.Call("GET", "/v1/users/1", "")
		answers <- answer{status, body, err}
	}()
	<-entered
	p.Signal(t, syscall.SIGTERM)
	waitForKey(t, etcd, false)
	waitForRefusal(t, p)
	close(release)
	if got := <-answers; got.err != nil || got.status != 200 || got.body != "\"done\"\n" {
		t.Errorf("answer = %+v", got)
	}
	if code := p.Wait(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

func waitForKey(t *testing.T, etcd *etcdtest.Gateway, want bool) {
	t.Helper()
	for range 500 {
		if _, ok := etcd.Value(registryKey); ok == want {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("key in etcd: not %v in time", want)
}

// waitForRefusal waits until the service accepts no connections any more.
func waitForRefusal(t *testing.T, p *proctest.Process) {
	t.Helper()
	for range 500 {
		if _, _, err := p.Call("GET", "/healthz", ""); err != nil {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("new connections are accepted after SIGTERM")
}

func TestHealthAndReadiness(t *testing.T) {
	executable := proctest.Build(t, "")
	p := proctest.Start(t, executable, "PROCESSION_API_LISTEN=127.0.0.1:0", "PROCESSION_API_IAM=http://127.0.0.1:1")
	for path, want := range map[string]int{"/healthz": 200, "/readyz": 503, "/v1/users": 503, "/openapi.json": 200, "/": 200} {
		if status, body, err := p.Call("GET", path, ""); err != nil || status != want {
			t.Errorf("%s: %d %s, err = %v", path, status, body, err)
		}
	}
	check := exec.Command(executable, "--healthcheck")
	check.Env = append(os.Environ(), "PROCESSION_API_LISTEN="+strings.TrimPrefix(p.URL, "http://"))
	if out, err := check.CombinedOutput(); err != nil {
		t.Errorf("healthcheck: %v: %s", err, out)
	}
	p.Signal(t, syscall.SIGINT)
	if code := p.Wait(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if out, err := check.CombinedOutput(); err == nil {
		t.Errorf("healthcheck of a stopped service: %s", out)
	}
}
