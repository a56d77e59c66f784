package replicator_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"casgate/cas"
	"casgate/providers"
)

// depot is a provider in memory. Tests decide the results of its calls.
type depot struct {
	description providers.Description

	mu      sync.Mutex
	files   map[string]providers.RemoteFile
	sums    map[string]cas.Digest
	nextID  int
	calls   map[providers.Op]int
	health  providers.Health
	deleted []string // ids, in their order

	// before runs before a call has any effect, and after runs after it. An error of
	// before fails the call; an error of after is a lost reply.
	before func(ctx context.Context, op providers.Op, what string) error
	after  func(ctx context.Context, op providers.Op, what string) error
	// status is the status of new files; later is the status that Poll returns.
	status, later providers.Status
	laterCode     string // of the file that Poll returns
	// edit changes the entries of lists. Optional.
	edit func(*providers.RemoteFile)
	// missing is the number of bytes that new files lack.
	missing int64

	// A new file is not listed, not looked up and not deleted, or has no text, for these
	// times.
	unlisted, unknown, noText time.Duration
	// life is how long the depot keeps new files, as it says; 0 means until they are deleted.
	// behind is how slow its clock is.
	life, behind time.Duration
	// room is how many files the depot takes, and refusal the error of an upload beyond.
	// 0 means any number.
	room    int
	refusal *providers.Error
	// notDeleted are the next deletes that are answered with "deleted": false. The file
	// stays if staying.
	notDeleted int
	staying    bool
	// deleting is how long a file still takes up room, and is listed, after its delete.
	deleting time.Duration
}

// isNew reports whether a file is younger than d.
func (d *depot) isNew(f providers.RemoteFile, age time.Duration) bool {
	return time.Since(f.CreatedAt) < age
}

var (
	_ providers.Guarded       = (*depot)(nil)
	_ providers.Retriever     = (*depot)(nil)
	_ providers.Poller        = (*depot)(nil)
	_ providers.TextExtractor = (*depot)(nil)
)

func newDepot() *depot {
	return &depot{
		description: providers.Description{
			Provider: "depot", Account: providers.Account("depot", "depot.example", "key"), Host: "depot.example",
			Purposes: []providers.Purpose{
				{Name: "docs", Extensions: []string{".txt", ".pdf"}, MaxSize: 10 << 20, SettlingSeconds: 1e-9},
				{Name: "image", Extensions: []string{".png"}, MediaTypes: []string{"image/*"}, SettlingSeconds: 1e-9},
			},
		},
		files:  make(map[string]providers.RemoteFile),
		sums:   make(map[string]cas.Digest),
		calls:  make(map[providers.Op]int),
		health: providers.Health{Available: true, Breaker: providers.BreakerClosed},
		status: providers.StatusReady,
	}
}

func (d *depot) Describe() providers.Description { return d.description }

func (d *depot) Health() providers.Health {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.health
}

func (d *depot) setHealth(h providers.Health) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.health = h
}

func (d *depot) countCall(op providers.Op) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.calls[op]++
}

// call counts a call and runs the before hook. An upload has sent its content by then.
func (d *depot) call(ctx context.Context, op providers.Op, what string) error {
	d.countCall(op)
	d.mu.Lock()
	before := d.before
	d.mu.Unlock()
	if before != nil {
		return before(ctx, op, what)
	}
	return nil
}

func (d *depot) reply(ctx context.Context, op providers.Op, what string) error {
	d.mu.Lock()
	after := d.after
	d.mu.Unlock()
	if after != nil {
		return after(ctx, op, what)
	}
	return nil
}

// hook sets both hooks for later calls.
func (d *depot) hook(before, after func(ctx context.Context, op providers.Op, what string) error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.before, d.after = before, after
}

// holdDelete makes the next delete wait for goOn, and closes deleting when it has begun.
func (d *depot) holdDelete() (deleting chan struct{}, goOn func()) {
	deleting, going := make(chan struct{}), make(chan struct{})
	d.hook(only(providers.OpDelete, func(context.Context, string) error {
		d.hook(nil, nil)
		close(deleting)
		<-going
		return nil
	}), nil)
	return deleting, func() { close(going) }
}

func (d *depot) Upload(ctx context.Context, u providers.Upload) (providers.RemoteFile, error) {
	body, err := u.Open(ctx)
	if err != nil {
		d.countCall(providers.OpUpload)
		return providers.RemoteFile{}, err
	}
	defer body.Close()
	content, err := io.ReadAll(body)
	if err != nil {
		d.countCall(providers.OpUpload)
		return providers.RemoteFile{}, fail(providers.OpUpload, providers.KindTransient, "source", err)
	}
	if err := d.call(ctx, providers.OpUpload, u.Name); err != nil {
		return providers.RemoteFile{}, err
	}
	if err := d.full(); err != nil {
		return providers.RemoteFile{}, err
	}
	f := d.store(u.Name, u.Purpose, content)
	if err := d.reply(ctx, providers.OpUpload, u.Name); err != nil {
		return providers.RemoteFile{}, err
	}
	return f, nil
}

// full returns the refusal if there is no room for a file.
func (d *depot) full() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.room > 0 && len(d.files) >= d.room {
		return d.refusal
	}
	return nil
}

// store adds a file, like an upload or a foreign client.
func (d *depot) store(name, purpose string, content []byte) providers.RemoteFile {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.nextID++
	f := providers.RemoteFile{
		ID: fmt.Sprintf("file_%d", d.nextID), Name: name, Purpose: purpose, Size: int64(len(content)) - d.missing,
		CreatedAt: time.Now().Add(-d.behind), Status: d.status,
	}
	if d.life > 0 {
		f.ExpiresAt = f.CreatedAt.Add(d.life)
	}
	d.files[f.ID] = f
	d.sums[f.ID] = cas.DigestOf(content)
	return f
}

func (d *depot) Delete(ctx context.Context, id string) error {
	if err := d.call(ctx, providers.OpDelete, id); err != nil {
		return err
	}
	d.mu.Lock()
	f, ok := d.files[id]
	if ok && d.isNew(f, d.unknown) {
		d.mu.Unlock()
		return lost(providers.OpDelete)
	}
	if d.notDeleted--; d.notDeleted >= 0 {
		if !d.staying {
			delete(d.files, id)
		}
		d.mu.Unlock()
		return fail(providers.OpDelete, providers.KindLost, providers.CodeNotDeleted, nil)
	}
	if d.deleting > 0 {
		time.AfterFunc(d.deleting, func() { d.forget(id) })
	} else {
		delete(d.files, id)
	}
	d.deleted = append(d.deleted, id)
	d.mu.Unlock()
	if !ok {
		return lost(providers.OpDelete)
	}
	return d.reply(ctx, providers.OpDelete, id)
}

func (d *depot) List(ctx context.Context, purpose string) iter.Seq2[providers.RemoteFile, error] {
	return func(yield func(providers.RemoteFile, error) bool) {
		if err := d.call(ctx, providers.OpList, purpose); err != nil {
			yield(providers.RemoteFile{}, err)
			return
		}
		d.mu.Lock()
		files := slices.DeleteFunc(slices.Collect(maps.Values(d.files)), func(f providers.RemoteFile) bool { return d.isNew(f, d.unlisted) })
		if d.edit != nil {
			for i := range files {
				d.edit(&files[i])
			}
		}
		d.mu.Unlock()
		for _, f := range files {
			if (purpose == "" || f.Purpose == purpose) && !yield(f, nil) {
				return
			}
		}
	}
}

func (d *depot) Retrieve(ctx context.Context, id string) (providers.RemoteFile, error) {
	if err := d.call(ctx, providers.OpRetrieve, id); err != nil {
		return providers.RemoteFile{}, err
	}
	return d.find(providers.OpRetrieve, id)
}

func (d *depot) find(op providers.Op, id string) (providers.RemoteFile, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f, ok := d.files[id]
	if !ok || d.isNew(f, d.unknown) || op == providers.OpText && d.isNew(f, d.noText) {
		return providers.RemoteFile{}, lost(op)
	}
	return f, nil
}

func (d *depot) Poll(ctx context.Context, id string) (providers.RemoteFile, error) {
	if err := d.call(ctx, providers.OpPoll, id); err != nil {
		return providers.RemoteFile{}, err
	}
	f, err := d.find(providers.OpPoll, id)
	d.mu.Lock()
	defer d.mu.Unlock()
	f.Status, f.Code = d.later, d.laterCode
	return f, err
}

func (d *depot) TextPurpose() string { return "docs" }

func (d *depot) Text(ctx context.Context, id string) (io.ReadCloser, error) {
	if err := d.call(ctx, providers.OpText, id); err != nil {
		return nil, err
	}
	if _, err := d.find(providers.OpText, id); err != nil {
		return nil, err
	}
	return io.NopCloser(strings.NewReader("the text of it")), nil
}

func (d *depot) References(mediaType, extension string) []providers.ReferenceKind {
	return []providers.ReferenceKind{
		{Name: "file_id", Needs: providers.NeedCopy, Purpose: "docs"},
		{Name: "text", Needs: providers.NeedText, Purpose: "docs"},
		{Name: "url", Needs: providers.NeedURL, MaxSide: 6000},
	}
}

func (d *depot) Reference(kind providers.ReferenceKind, m providers.Material) ([]byte, error) {
	return json.Marshal(map[string]string{"id": m.FileID, "text": m.Text, "url": m.URL})
}

// fileIDs returns the ids of the files there are.
func (d *depot) fileIDs() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Sorted(maps.Keys(d.files))
}

// deletedIDs returns the ids of the files that were deleted.
func (d *depot) deletedIDs() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.deleted)
}

// count returns how often an operation was called.
func (d *depot) count(op providers.Op) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.calls[op]
}

// change changes the depot under its lock.
func (d *depot) change(f func(d *depot)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f(d)
}

// forget removes a file behind everybody's back.
func (d *depot) forget(id string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.files, id)
}

// fail is an error of a call.
func fail(op providers.Op, kind providers.Kind, code string, cause error) *providers.Error {
	return &providers.Error{Provider: "depot", Op: op, Kind: kind, Code: code, Cause: cause}
}

func lost(op providers.Op) error {
	e := fail(op, providers.KindLost, "not_found", nil)
	e.Status = 404
	return e
}

// listAll returns all files by id.
func (d *depot) listAll() map[string]providers.RemoteFile {
	d.mu.Lock()
	defer d.mu.Unlock()
	return maps.Clone(d.files)
}

// editLists changes the entries of later lists.
func (d *depot) editLists(edit func(*providers.RemoteFile)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.edit = edit
}
