package store

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// open returns the log of the folder and the records found in it.
func open(t *testing.T, folder string) (*Log, []string, error) {
	t.Helper()
	var found []string
	l, err := Open(folder, func(record []byte) error {
		found = append(found, string(record))
		return nil
	})
	if err == nil {
		t.Cleanup(func() { l.Close() })
	}
	return l, found, err
}

// fill writes n records to a new folder and returns it, the records and the bytes of the file.
func fill(t *testing.T, n int) (string, []string, []byte) {
	t.Helper()
	folder := filepath.Join(t.TempDir(), "data")
	l, _, err := open(t, folder)
	if err != nil {
		t.Fatal(err)
	}
	var records []string
	for i := range n {
		record := fmt.Sprintf(`{"n":%d,"text":"%s"}`, i, strings.Repeat("ä", i))
		if err := l.Append([]byte(record)); err != nil {
			t.Fatal(err)
		}
		records = append(records, record)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(filepath.Join(folder, logName))
	if err != nil {
		t.Fatal(err)
	}
	return folder, records, content
}

func folderWith(t *testing.T, content []byte) string {
	t.Helper()
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, logName), content, 0o600); err != nil {
		t.Fatal(err)
	}
	return folder
}

func TestReopen(t *testing.T) {
	folder, records, _ := fill(t, 5)
	l, found, err := open(t, folder)
	if err != nil || !slices.Equal(found, records) || l.Records() != 5 {
		t.Fatalf("found %q, err = %v", found, err)
	}
}

func TestTruncatedAtEveryOffset(t *testing.T) {
	_, records, content := fill(t, 6)
	for size := range len(content) + 1 {
		complete := records[:bytes.Count(content[:size], []byte{'\n'})]
		folder := folderWith(t, content[:size])
		l, found, err := open(t, folder)
		if err != nil || !slices.Equal(found, complete) {
			t.Fatalf("size %d: found %q, err = %v", size, found, err)
		}
		if err := l.Append([]byte(`{"more":true}`)); err != nil {
			t.Fatalf("size %d: %v", size, err)
		}
		l.Close()
		want := append(slices.Clone(complete), `{"more":true}`)
		if _, found, err = open(t, folder); err != nil || !slices.Equal(found, want) {
			t.Fatalf("size %d: after append: found %q, err = %v", size, found, err)
		}
	}
}

func TestCorruptionIsReported(t *testing.T) {
	_, _, content := fill(t, 4)
	lines := bytes.SplitAfter(content, []byte{'\n'})
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	for name, test := range map[string]struct {
		content []byte
		line    int
	}{
		"missing line": {join(lines[0], lines[2], lines[3]), 2},
		"swapped":      {join(lines[0], lines[2], lines[1], lines[3]), 2},
		"empty line":   {join(lines[0], []byte{'\n'}, lines[1]), 2},
		"zeros inside": {join(lines[0], []byte("\x00\x00\n"), lines[1]), 2},
		"last line":    {join(lines[0], bytes.Replace(lines[1], []byte("text"), []byte("test"), 1)), 2},
		"no checksum":  {join([]byte("{\"n\":\"12345678\"}\n"), lines[0]), 1},
	} {
		t.Run(name, func(t *testing.T) {
			folder := folderWith(t, test.content)
			_, _, err := open(t, folder)
			var corrupt *CorruptError
			if !errors.As(err, &corrupt) || corrupt.Line != test.line {
				t.Fatalf("err = %v", err)
			}
			if after, _ := os.ReadFile(filepath.Join(folder, logName)); !bytes.Equal(after, test.content) {
				t.Error("the file was changed")
			}
		})
	}
}

func TestEveryFlippedByteIsNoticed(t *testing.T) {
	_, records, content := fill(t, 3)
	last := bytes.LastIndexByte(content[:len(content)-1], '\n')
	for i := range last {
		damaged := slices.Clone(content)
		damaged[i] ^= 0x20
		if _, found, err := open(t, folderWith(t, damaged)); err == nil && !slices.Equal(found, records) {
			t.Fatalf("byte %d: found %q without an error", i, found)
		}
	}
}

func TestZerosOfTornAppendAreCut(t *testing.T) {
	_, records, content := fill(t, 2)
	for _, tail := range []string{"\x00\x00\x00", "\x00\x00\x00}\n"} {
		_, found, err := open(t, folderWith(t, append(slices.Clone(content), tail...)))
		if err != nil || !slices.Equal(found, records) {
			t.Errorf("tail %q: found %q, err = %v", tail, found, err)
		}
	}
}

func TestRefusedRecordIsReported(t *testing.T) {
	folder, _, _ := fill(t, 2)
	refusal := errors.New("unknown kind")
	if _, err := Open(folder, func([]byte) error { return refusal }); !errors.Is(err, refusal) {
		t.Errorf("err = %v", err)
	}
}

func TestOnlyOneMayOpen(t *testing.T) {
	folder, _, _ := fill(t, 1)
	first, _, err := open(t, folder)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := open(t, folder); err == nil || !strings.Contains(err.Error(), "in use by another process") {
		t.Fatalf("err = %v", err)
	}
	first.Close()
	if _, _, err := open(t, folder); err != nil {
		t.Fatal(err)
	}
}

func recordsOf(records ...string) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for _, record := range records {
			if !yield([]byte(record), nil) {
				return
			}
		}
	}
}

func TestCompact(t *testing.T) {
	folder, _, before := fill(t, 50)
	l, _, err := open(t, folder)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Compact(recordsOf(`{"a":1}`, `{"b":2}`)); err != nil {
		t.Fatal(err)
	}
	if err := l.Append([]byte(`{"c":3}`)); err != nil {
		t.Fatal(err)
	}
	l.Close()
	if info, err := os.Stat(filepath.Join(folder, logName)); err != nil || info.Size() >= int64(len(before)) {
		t.Errorf("info = %v, err = %v", info, err)
	}
	_, found, err := open(t, folder)
	if want := []string{`{"a":1}`, `{"b":2}`, `{"c":3}`}; err != nil || !slices.Equal(found, want) {
		t.Errorf("found %q, err = %v", found, err)
	}
}

func TestFailedCompactKeepsRecords(t *testing.T) {
	folder, records, _ := fill(t, 3)
	l, _, err := open(t, folder)
	if err != nil {
		t.Fatal(err)
	}
	cause := errors.New("no form")
	failing := func(yield func([]byte, error) bool) {
		_ = yield([]byte(`{}`), nil) && yield(nil, cause)
	}
	if err := l.Compact(failing); !errors.Is(err, cause) {
		t.Fatalf("err = %v", err)
	}
	if err := l.Append([]byte(`{"more":true}`)); err != nil {
		t.Fatal(err)
	}
	l.Close()
	_, found, err := open(t, folder)
	if want := append(records, `{"more":true}`); err != nil || !slices.Equal(found, want) {
		t.Errorf("found %q, err = %v", found, err)
	}
}

func TestLeftoverOfCompactionIsIgnored(t *testing.T) {
	folder, records, _ := fill(t, 3)
	temp := filepath.Join(folder, tempName)
	if err := os.WriteFile(temp, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, found, err := open(t, folder); err != nil || !slices.Equal(found, records) {
		t.Fatalf("found %q, err = %v", found, err)
	}
	if _, err := os.Stat(temp); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("err = %v", err)
	}
}

func TestBrokenLogRefuses(t *testing.T) {
	folder, _, _ := fill(t, 1)
	l, _, err := open(t, folder)
	if err != nil {
		t.Fatal(err)
	}
	// Neither the write nor its removal can work on a closed file.
	l.file.Close()
	if err := l.Append([]byte(`{}`)); !errors.Is(err, ErrBroken) {
		t.Fatalf("err = %v", err)
	}
	if err := l.Append([]byte(`{}`)); !errors.Is(err, ErrBroken) || l.Err() == nil {
		t.Errorf("err = %v", err)
	}
	if err := l.Compact(recordsOf()); !errors.Is(err, ErrBroken) {
		t.Errorf("err = %v", err)
	}
}
