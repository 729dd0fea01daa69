package store

import (
	"bufio"
	"errors"
	"fmt"
	"iter"
	"os"
)

// Compact replaces all records by those of live. After an error the records are as before.
func (l *Log) Compact(live iter.Seq2[[]byte, error]) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.broken != nil {
		return l.broken
	}
	next := &Log{folder: l.folder}
	if err := next.writeNew(live); err != nil {
		return errors.Join(fmt.Errorf("compact: %w", err), next.discard())
	}
	if err := os.Rename(l.path(tempName), l.path(logName)); err != nil {
		return errors.Join(fmt.Errorf("compact: %w", err), next.discard())
	}
	old := l.file
	l.file, l.size, l.sum, l.records = next.file, next.size, next.sum, next.records
	if err := syncFolder(l.folder); err != nil {
		// A crash could bring back the old file, without the records appended from now on.
		return errors.Join(l.breakDown(err), old.Close())
	}
	return old.Close()
}

// writeNew writes the records to a new file and waits until the disk holds them.
func (l *Log) writeNew(live iter.Seq2[[]byte, error]) error {
	file, err := os.OpenFile(l.path(tempName), os.O_RDWR|os.O_CREATE|os.O_TRUNC|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	l.file = file
	out := bufio.NewWriter(file)
	for record, err := range live {
		if err != nil {
			return err
		}
		line, sum := encode(l.sum, record)
		if _, err := out.Write(line); err != nil {
			return err
		}
		l.size += int64(len(line))
		l.sum = sum
		l.records++
	}
	if err := out.Flush(); err != nil {
		return err
	}
	return file.Sync()
}

// discard removes a new file that will not be used.
func (l *Log) discard() error {
	if l.file == nil {
		return nil
	}
	return errors.Join(l.file.Close(), os.Remove(l.path(tempName)))
}
