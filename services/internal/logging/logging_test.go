package logging

import (
	"bytes"
	"encoding/json/v2"
	"log/slog"
	"testing"
)

func TestNew(t *testing.T) {
	var out bytes.Buffer
	log := New(&out, slog.LevelWarn, "procession-api", "1.2.3")
	log.Info("not seen")
	log.Warn("seen", "attempt", 2)
	var line struct {
		Level   string
		Msg     string
		Service string
		Version string
		Attempt int
	}
	if err := json.Unmarshal(out.Bytes(), &line, json.MatchCaseInsensitiveNames(true)); err != nil {
		t.Fatalf("%q: %v", out.String(), err)
	}
	if line.Level != "WARN" || line.Msg != "seen" || line.Service != "procession-api" || line.Version != "1.2.3" || line.Attempt != 2 {
		t.Errorf("line = %+v", line)
	}
}
