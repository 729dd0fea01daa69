package store

import (
	"bufio"
	"bytes"
	"encoding/json/jsontext"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"strconv"
)

const sumDigits = 8

// CorruptError tells that a line that was complete once can no longer be trusted.
type CorruptError struct {
	Path  string
	Line  int
	Cause error
}

// Error implements error.
func (e *CorruptError) Error() string {
	return fmt.Sprintf("%s is corrupt at line %d: %v", e.Path, e.Line, e.Cause)
}

// Unwrap returns the cause.
func (e *CorruptError) Unwrap() error {
	return e.Cause
}

// load opens the file, reads it and cuts off what a crash left at its end.
func (l *Log) load(apply func([]byte) error) error {
	// A compaction that did not reach its rename has no effect.
	if err := os.Remove(l.path(tempName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove old file: %w", err)
	}
	file, err := os.OpenFile(l.path(logName), os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("open log: %w", err)
	}
	l.file = file
	if err := syncFolder(l.folder); err != nil {
		return err
	}
	if err := l.replay(bufio.NewReader(file), apply); err != nil {
		return err
	}
	return l.cutTail()
}

// replay reads lines up to the first that is not complete.
func (l *Log) replay(in *bufio.Reader, apply func([]byte) error) error {
	for {
		line, err := in.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read log: %w", err)
		}
		record, sum, err := decode(l.sum, line)
		if err == nil {
			err = apply(record)
		} else if torn(in, line) {
			return nil
		}
		if err != nil {
			return &CorruptError{Path: l.path(logName), Line: l.records + 1, Cause: err}
		}
		l.size += int64(len(line))
		l.sum = sum
		l.records++
	}
}

// torn reports whether a bad line is the last one and holds zero bytes. That is what remains when
// power fails after the disk took the end of an append but not its begin; such an append was never
// acknowledged. JSON holds no zero bytes, so a damaged record does not look like this.
func torn(in *bufio.Reader, line []byte) bool {
	_, err := in.Peek(1)
	return errors.Is(err, io.EOF) && bytes.IndexByte(line, 0) >= 0
}

// cutTail removes bytes after the last complete record.
func (l *Log) cutTail() error {
	info, err := l.file.Stat()
	if err != nil {
		return fmt.Errorf("cut log: %w", err)
	}
	if info.Size() == l.size {
		return nil
	}
	if err := l.file.Truncate(l.size); err != nil {
		return fmt.Errorf("cut log: %w", err)
	}
	if err := l.file.Sync(); err != nil {
		return fmt.Errorf("cut log: %w", err)
	}
	return nil
}

// decode checks a line and returns its record and checksum.
func decode(before uint32, line []byte) ([]byte, uint32, error) {
	line = bytes.TrimSuffix(line, []byte{'\n'})
	if len(line) < sumDigits+1 || line[sumDigits] != ' ' {
		return nil, 0, errors.New("line has no checksum")
	}
	want, err := strconv.ParseUint(string(line[:sumDigits]), 16, 32)
	if err != nil {
		return nil, 0, errors.New("checksum is not hexadecimal")
	}
	record := line[sumDigits+1:]
	sum := crc32.Update(before, crc32.MakeTable(crc32.Castagnoli), record)
	if uint64(sum) != want {
		return nil, 0, fmt.Errorf("checksum is %08x, not %08x", sum, want)
	}
	if !jsontext.Value(record).IsValid() {
		return nil, 0, errors.New("record is not JSON")
	}
	return record, sum, nil
}
