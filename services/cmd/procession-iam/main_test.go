package main

import (
	"encoding/json/v2"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"procession.example/services/internal/proctest"
)

type user struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// TestKillLosesNoAcknowledgedWrite kills the service while several clients write.
func TestKillLosesNoAcknowledgedWrite(t *testing.T) {
	executable := proctest.Build(t, "")
	env := []string{"PROCESSION_IAM_LISTEN=127.0.0.1:0", "PROCESSION_IAM_DATA=" + t.TempDir()}
	acknowledged := make(map[string]string)
	for round := range 3 {
		p := proctest.Start(t, executable, env...)
		expectUsers(t, p, acknowledged)
		for id, name := range writeUntilKilled(t, p, round) {
			acknowledged[id] = name
		}
	}
	if len(acknowledged) < 30 {
		t.Errorf("only %d writes were acknowledged", len(acknowledged))
	}
	expectUsers(t, proctest.Start(t, executable, env...), acknowledged)
}

// writeUntilKilled returns the names of the users that were acknowledged, by ID.
func writeUntilKilled(t *testing.T, p *proctest.Process, round int) map[string]string {
	t.Helper()
	var (
		writers sync.WaitGroup
		mu      sync.Mutex
		created = make(map[string]string)
	)
	for writer := range 4 {
		writers.Go(func() {
			for n := 0; ; n++ {
				name := fmt.Sprintf("u-%d-%d-%d", round, writer, n)
				status, body, err := p.Call("POST", "/v1/users", fmt.Sprintf(`{"name":%q,"email":"%s@example.org"}`, name, name))
				if err != nil {
					return
				}
				var got user
				if err := json.Unmarshal([]byte(body), &got); err != nil || status != 201 {
					t.Errorf("%d %q: %v", status, body, err)
					return
				}
				mu.Lock()
				created[got.ID] = got.Name
				mu.Unlock()
			}
		})
	}
	time.Sleep(300 * time.Millisecond)
	p.Signal(t, syscall.SIGKILL)
	writers.Wait()
	p.Wait(t)
	return created
}

func expectUsers(t *testing.T, p *proctest.Process, want map[string]string) {
	t.Helper()
	got := make(map[string]string)
	for after := ""; ; {
		_, body, err := p.Call("GET", "/v1/users?limit=1000&after="+after, "")
		if err != nil {
			t.Fatal(err)
		}
		var page struct {
			Users []user `json:"users"`
			Next  string `json:"next"`
		}
		if err := json.Unmarshal([]byte(body), &page); err != nil {
			t.Fatal(err)
		}
		for _, u := range page.Users {
			got[u.ID] = u.Name
		}
		if after = page.Next; after == "" {
			break
		}
	}
	for id, name := range want {
		if got[id] != name {
			t.Errorf("user %s %q was acknowledged and is lost", id, name)
		}
	}
}

func TestOnlyOneProcessPerFolder(t *testing.T) {
	executable := proctest.Build(t, "-X main.version=9.8.7")
	folder := t.TempDir()
	env := []string{"PROCESSION_IAM_LISTEN=127.0.0.1:0", "PROCESSION_IAM_DATA=" + folder}
	first := proctest.Start(t, executable, env...)
	second := exec.Command(executable)
	second.Env = env
	out, err := second.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "in use by another process") || second.ProcessState.ExitCode() != 1 {
		t.Errorf("err = %v, output %s", err, out)
	}
	if _, body, err := first.Call("GET", "/metrics", ""); err != nil || !strings.Contains(body, `procession_build_info{service="procession-iam",version="9.8.7"`) {
		t.Errorf("err = %v, metrics:\n%s", err, body)
	}
	first.Signal(t, syscall.SIGTERM)
	if code := first.Wait(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if out, err := exec.Command(executable, "--version").Output(); err != nil || string(out) != "9.8.7\n" {
		t.Errorf("version %q, err = %v", out, err)
	}
}
