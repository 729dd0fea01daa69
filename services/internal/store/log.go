// Package store keeps JSON records in an append-only file that survives crashes.
//
// Each record is one line: the checksum in eight hexadecimal digits, a space and the JSON text. The
// checksum continues that of the line before, so that a line that is missing or moved is noticed too.
package store

import (
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"sync"
)

// Names of files inside the data folder.
const (
	logName  = "records.log"
	tempName = "records.log.new"
	lockName = "lock"
)

// ErrBroken is returned after a failure that leaves open what the disk holds; only opening anew helps.
var ErrBroken = errors.New("log is broken by an earlier failure")

// Log is the open log of a data folder.
type Log struct {
	folder string
	lock   *os.File

	mu      sync.Mutex
	file    *os.File
	size    int64
	sum     uint32
	records int
	broken  error
}

// Open locks the folder, which it creates if needed, and passes all complete records to apply in order.
func Open(folder string, apply func(record []byte) error) (*Log, error) {
	if err := makeFolder(folder); err != nil {
		return nil, fmt.Errorf("make data folder: %w", err)
	}
	lock, err := lockFolder(folder)
	if err != nil {
		return nil, err
	}
	l := &Log{folder: folder, lock: lock}
	if err := l.load(apply); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// Records returns the number of records in the file.
func (l *Log) Records() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.records
}

// Err tells why the log takes no more records, or returns nil.
func (l *Log) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.broken
}

// Append returns when the disk holds the record. After an error the record counts as not written.
func (l *Log) Append(record []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.broken != nil {
		return l.broken
	}
	line, sum := encode(l.sum, record)
	if _, err := l.file.Write(line); err != nil {
		return errors.Join(fmt.Errorf("append: %w", err), l.undo())
	}
	if err := l.file.Sync(); err != nil {
		// The kernel may have dropped the pages, so another attempt could succeed without them.
		return l.breakDown(fmt.Errorf("sync: %w", err))
	}
	l.size += int64(len(line))
	l.sum = sum
	l.records++
	return nil
}

// undo removes what a failed write left.
func (l *Log) undo() error {
	if err := l.file.Truncate(l.size); err != nil {
		return l.breakDown(fmt.Errorf("remove part of a record: %w", err))
	}
	return nil
}

func (l *Log) breakDown(cause error) error {
	l.broken = fmt.Errorf("%w: %w", ErrBroken, cause)
	return l.broken
}

// Close releases the folder.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var err error
	if l.file != nil {
		err = l.file.Close()
	}
	l.broken = errors.New("log is closed")
	return errors.Join(err, l.lock.Close())
}

func (l *Log) path(name string) string {
	return filepath.Join(l.folder, name)
}

// encode returns the line of a record and the checksum for the line after it.
func encode(sum uint32, record []byte) ([]byte, uint32) {
	sum = crc32.Update(sum, crc32.MakeTable(crc32.Castagnoli), record)
	line := fmt.Appendf(make([]byte, 0, len(record)+sumDigits+2), "%08x ", sum)
	line = append(line, record...)
	return append(line, '\n'), sum
}
