package config

import (
	"errors"
	"log/slog"
	"testing"
	"time"
)

func envOf(values map[string]string) *Env {
	return NewEnv(func(name string) (string, bool) {
		value, ok := values[name]
		return value, ok
	})
}

func TestFallbacks(t *testing.T) {
	env := envOf(map[string]string{"EMPTY": ""})
	if got := env.Listen("EMPTY", ":8080"); got != ":8080" {
		t.Errorf("Listen = %q", got)
	}
	if got := env.OptionalHostPort("NONE"); got != "" {
		t.Errorf("OptionalHostPort = %q", got)
	}
	if got := env.OptionalURLs("NONE"); got != nil {
		t.Errorf("OptionalURLs = %v", got)
	}
	if got := env.URL("NONE", "http://iam:8081"); got.Host != "iam:8081" {
		t.Errorf("URL = %v", got)
	}
	if got := env.Duration("NONE", time.Second, 0, time.Minute); got != time.Second {
		t.Errorf("Duration = %v", got)
	}
	if got := env.Level("NONE", slog.LevelInfo); got != slog.LevelInfo {
		t.Errorf("Level = %v", got)
	}
	if err := env.Err(); err != nil {
		t.Errorf("Err = %v", err)
	}
}

func TestGoodValues(t *testing.T) {
	env := envOf(map[string]string{
		"L": "[::1]:0", "H": "cache:11211", "U": "http://a:1, https://b/", "D": "/var/lib/../x", "V": "DEBUG", "T": "90s",
	})
	if got := env.Listen("L", ""); got != "[::1]:0" {
		t.Errorf("Listen = %q", got)
	}
	if got := env.OptionalHostPort("H"); got != "cache:11211" {
		t.Errorf("OptionalHostPort = %q", got)
	}
	if got := env.OptionalURLs("U"); len(got) != 2 || got[1].Host != "b" {
		t.Errorf("OptionalURLs = %v", got)
	}
	if got := env.Folder("D", ""); got != "/var/x" {
		t.Errorf("Folder = %q", got)
	}
	if got := env.Level("V", slog.LevelInfo); got != slog.LevelDebug {
		t.Errorf("Level = %v", got)
	}
	if got := env.Duration("T", 0, 0, time.Hour); got != 90*time.Second {
		t.Errorf("Duration = %v", got)
	}
	if err := env.Err(); err != nil {
		t.Errorf("Err = %v", err)
	}
}

func TestBadValues(t *testing.T) {
	readers := map[string]func(*Env){
		"listen":   func(e *Env) { e.Listen("X", "") },
		"hostport": func(e *Env) { e.OptionalHostPort("X") },
		"url":      func(e *Env) { e.URL("X", "") },
		"urls":     func(e *Env) { e.OptionalURLs("X") },
		"folder":   func(e *Env) { e.Folder("X", "") },
		"duration": func(e *Env) { e.Duration("X", 0, time.Second, time.Minute) },
		"level":    func(e *Env) { e.Level("X", slog.LevelInfo) },
	}
	for _, test := range []struct{ reader, value string }{
		{"listen", "8080"}, {"listen", ":65536"}, {"listen", ":http"}, {"listen", ""},
		{"hostport", ":11211"}, {"hostport", "cache"}, {"hostport", "cache:0"},
		{"url", ""}, {"url", "iam:8081"}, {"url", "ftp://iam"}, {"url", "http://"}, {"url", "http://iam/path"},
		{"url", "http://me:secret@iam"}, {"url", "http://iam?x=1"}, {"url", "http://iam:99999"}, {"url", "http://[::1"},
		{"urls", "http://a,"}, {"urls", "http://a,b"},
		{"folder", "data"}, {"folder", ""},
		{"duration", "5"}, {"duration", "1ms"}, {"duration", "1h"},
		{"level", "loud"},
	} {
		env := envOf(map[string]string{"X": test.value})
		readers[test.reader](env)
		var all *Error
		if !errors.As(env.Err(), &all) || len(all.Problems) != 1 || all.Problems[0].Name != "X" {
			t.Errorf("%s %q: err = %v", test.reader, test.value, env.Err())
		}
	}
}

func TestAllProblemsAtOnce(t *testing.T) {
	env := envOf(map[string]string{"A": "x", "B": "y", "C": "/ok"})
	env.Listen("A", ":1")
	env.Level("B", slog.LevelInfo)
	env.Folder("C", "/")
	want := `wrong configuration: A must be an address as [host]:port with a port of 0 to 65535, got "x"; ` +
		`B must be one of debug, info, warn, error, got "y"`
	if err := env.Err(); err == nil || err.Error() != want {
		t.Errorf("err = %v", err)
	}
}

func TestPasswordsStayHidden(t *testing.T) {
	env := envOf(map[string]string{"U": "http://me:secret@iam"})
	env.URL("U", "")
	var all *Error
	if !errors.As(env.Err(), &all) || all.Problems[0].Got != "http://***@iam" {
		t.Errorf("err = %v", env.Err())
	}
}
