package importer_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"casgate/cas"
	"casgate/cas/importer"
)

const old = "s3://old"

// fakeFiles is an index of files. A function decides how taking in ends.
type fakeFiles struct {
	mu     sync.Mutex
	files  map[string]cas.File
	tries  map[string]int
	takeIn func(f cas.File, try int) (stored bool, err error)
}

// newFakeFiles has n pending files, named by their number.
func newFakeFiles(n int) *fakeFiles {
	x := &fakeFiles{files: map[string]cas.File{}, tries: map[string]int{}}
	for i := range n {
		name := fmt.Sprintf("%04d", i)
		f := cas.File{
			ID: "file-" + name, Name: name, Size: 10, Metadata: []byte(`{"imported_id":"` + name + `"}`),
			CreatedAt: time.Unix(int64(i/3), 0), // some at the same moment
			Origin:    &cas.Origin{Source: old, Key: name},
		}
		x.files[f.ID] = f
	}
	return x
}

func (x *fakeFiles) change(name string, do func(f *cas.File)) {
	f := x.files["file-"+name]
	origin := *f.Origin
	f.Origin = &origin
	do(&f)
	x.files[f.ID] = f
}

func (x *fakeFiles) ListFiles(_ context.Context, q cas.FileQuery) ([]cas.File, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	var page []cas.File
	for _, f := range x.files {
		later := f.CreatedAt.After(q.After.CreatedAt) || f.CreatedAt.Equal(q.After.CreatedAt) && f.ID > q.After.ID
		if later && (!q.Pending || f.IsPending()) {
			page = append(page, f)
		}
	}
	slices.SortFunc(page, func(a, b cas.File) int {
		return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.ID, b.ID))
	})
	return page[:min(len(page), q.Limit)], nil
}

// TakeIn records failures as cas.Files does.
func (x *fakeFiles) TakeIn(_ context.Context, f cas.File) (cas.File, bool, error) {
	x.mu.Lock()
	x.tries[f.Name]++
	try := x.tries[f.Name]
	x.mu.Unlock()
	stored, err := true, error(nil)
	if x.takeIn != nil {
		stored, err = x.takeIn(f, try)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	switch {
	case err == nil:
		f.Digest = cas.DigestOf([]byte(f.Name))
		x.files[f.ID] = f
	case errors.Is(err, cas.ErrObjectMissing):
		origin := *f.Origin
		origin.Error = err.Error()
		f.Origin = &origin
		x.files[f.ID] = f
	}
	return f, stored, err
}

func (x *fakeFiles) pending() (names []string) {
	for _, f := range x.files {
		if f.IsPending() {
			names = append(names, f.Name)
		}
	}
	slices.Sort(names)
	return names
}

func (x *fakeFiles) options() importer.BackfillOptions {
	return importer.BackfillOptions{Files: x, Sources: []string{old}, BatchSize: 7, Concurrency: 4}
}

// memorySource is a source whose objects are in memory.
type memorySource map[string][]byte

func (memorySource) Name() string { return old }

func (s memorySource) Open(_ context.Context, key string) (cas.Object, error) {
	b, ok := s[key]
	if !ok {
		return cas.Object{}, cas.ErrObjectMissing
	}
	return cas.Object{Body: io.NopCloser(bytes.NewReader(b)), Size: int64(len(b))}, nil
}

func (s memorySource) Stat(_ context.Context, key string) (int64, error) {
	b, ok := s[key]
	if !ok {
		return 0, cas.ErrObjectMissing
	}
	return int64(len(b)), nil
}
