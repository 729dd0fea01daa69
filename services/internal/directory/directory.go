package directory

import (
	"crypto/rand"
	"encoding/json/v2"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"procession.example/services/internal/store"
)

// Compaction starts when the store holds this many records and this many times the live ones.
const (
	compactLeast = 1000
	compactRatio = 4
)

// Directory is the set of users and organizations in a data folder.
type Directory struct {
	log   *slog.Logger
	store *store.Log
	// writing admits one change at a time; readers need not wait for the disk.
	writing sync.Mutex
	mu      sync.RWMutex
	state   *state
}

// Open reads the directory from its data folder.
func Open(folder string, log *slog.Logger) (*Directory, error) {
	d := &Directory{log: log, state: newState()}
	var err error
	if d.store, err = store.Open(folder, d.state.replay); err != nil {
		return nil, fmt.Errorf("open directory: %w", err)
	}
	log.Info("directory opened", "folder", folder, "records", d.store.Records(),
		"users", len(d.state.users), "organizations", len(d.state.organizations))
	return d, nil
}

// Close releases the data folder.
func (d *Directory) Close() error {
	d.writing.Lock()
	defer d.writing.Unlock()
	return d.store.Close()
}

// Ready tells why the directory cannot take changes, or returns nil.
func (d *Directory) Ready() error {
	return d.store.Err()
}

// change lets plan decide on a record, and makes it visible once the disk holds it.
func (d *Directory) change(plan func(*state) (record, error)) error {
	d.writing.Lock()
	defer d.writing.Unlock()
	// Reading the state needs no lock here, since only holders of writing change it.
	r, err := plan(d.state)
	if err != nil {
		return err
	}
	text, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encode record: %w", err)
	}
	if err := d.store.Append(text); err != nil {
		return fmt.Errorf("store record: %w", err)
	}
	d.mu.Lock()
	d.state.apply(r)
	d.mu.Unlock()
	d.compactIfWorth()
	return nil
}

// compactIfWorth reports a failure only to the log, since the change that led here is safe.
func (d *Directory) compactIfWorth() {
	records := d.store.Records()
	if records < compactLeast || records < compactRatio*d.state.size() {
		return
	}
	if err := d.store.Compact(d.state.all()); err != nil {
		d.log.Error("compaction failed", "error", err)
		return
	}
	d.log.Info("store compacted", "before", records, "after", d.store.Records())
}

// newID returns an identifier that will not occur twice.
func newID() string {
	return strings.ToLower(rand.Text())
}

// now has the precision that its JSON form keeps.
func now() time.Time {
	return time.Now().UTC().Truncate(time.Millisecond)
}
