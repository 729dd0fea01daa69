// Package proctest builds and runs the executables of services for tests.
package proctest

import (
	"bufio"
	"encoding/json/v2"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// patience bounds what a test waits for.
const patience = 10 * time.Second

// Process is a running service.
type Process struct {
	// URL is where the service listens.
	URL  string
	cmd  *exec.Cmd
	exit chan int
}

// Build compiles the package in the working directory, with flags for the linker, and returns the executable.
func Build(t *testing.T, linkerFlags string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "service")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", linkerFlags, "-o", path, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return path
}

// Start runs an executable with only the given environment and waits until it listens.
func Start(t *testing.T, executable string, env ...string) *Process {
	t.Helper()
	cmd := exec.Command(executable)
	cmd.Env = env
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &Process{cmd: cmd, exit: make(chan int, 1)}
	listening := make(chan string, 1)
	go func() {
		last := watch(stderr, listening)
		_ = cmd.Wait()
		if code := cmd.ProcessState.ExitCode(); code > 0 {
			fmt.Fprintf(t.Output(), "exit code %d, last line: %s\n", code, last)
		}
		p.exit <- cmd.ProcessState.ExitCode()
	}()
	t.Cleanup(p.end)
	select {
	case address := <-listening:
		p.URL = "http://" + address
	case code := <-p.exit:
		p.exit <- code
		t.Fatalf("service ended with %d before it listened", code)
	case <-time.After(patience):
		t.Fatal("service does not listen in time")
	}
	return p
}

// watch reads the log to its end, reports the address in it and returns the last line.
func watch(log io.Reader, listening chan<- string) string {
	var last string
	for lines := bufio.NewScanner(log); lines.Scan(); {
		last = lines.Text()
		var line struct {
			Msg     string `json:"msg"`
			Address string `json:"address"`
		}
		if json.Unmarshal([]byte(last), &line) == nil && line.Msg == "listening" {
			listening <- line.Address
		}
	}
	return last
}

// end makes sure that no process outlives its test.
func (p *Process) end() {
	_ = p.cmd.Process.Kill()
	<-p.exit
}

// Signal sends a signal.
func (p *Process) Signal(t *testing.T, signal syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
}

// Wait returns the exit code, which is -1 after a kill.
func (p *Process) Wait(t *testing.T) int {
	t.Helper()
	select {
	case code := <-p.exit:
		p.exit <- code
		return code
	case <-time.After(patience):
		t.Fatal("service does not end in time")
		return 0
	}
}

// Call sends a request and returns the status and the body; the error is that of the connection.
func (p *Process) Call(method, path, body string) (int, string, error) {
	request, err := http.NewRequest(method, p.URL+path, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	request.Header.Set("Content-Type", "application/json")
	client := &http.Client{Timeout: patience}
	response, err := client.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return response.StatusCode, string(text), err
}
