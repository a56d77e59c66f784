package wiring

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"casgate/cas"
	"casgate/cas/s3store"
	"casgate/cmd/cas/internal/exit"
	"casgate/providers"
)

// markedStore is an object store that knows which index it belongs to.
type markedStore interface {
	Mark(ctx context.Context) (string, error)
	SetMark(ctx context.Context, mark string) error
}

func (s ObjectStore) marked() markedStore {
	if s.S3 != nil {
		return s.S3
	}
	return s.Folder
}

// Mark returns the mark of the store, or "" if it has none.
func (s ObjectStore) Mark(ctx context.Context) (string, error) { return s.marked().Mark(ctx) }

// sampleBlobs is the number of blobs that decide whether a store without a mark belongs
// to the index.
const sampleBlobs = 20

// CheckStoreMark returns an error if the object store is not the one that the index
// belongs to: it has the mark of another index, or it has no mark and none of the index's
// oldest blobs, as a folder has whose disk is not mounted. A store without a mark that
// does belong to the index gets its mark.
func CheckStoreMark(ctx context.Context, x Index, objects ObjectStore) error {
	isMarked, err := BelongsTo(ctx, x, objects)
	if err != nil || isMarked {
		return err
	}
	return AdoptStore(ctx, x, objects)
}

// BelongsTo is CheckStoreMark, but marks nothing. It reports whether the store has a mark.
func BelongsTo(ctx context.Context, x Index, objects ObjectStore) (isMarked bool, err error) {
	if isMarked, err = RefuseOtherMark(ctx, x, objects); isMarked || err != nil {
		return isMarked, err
	}
	isOurs, err := hasBlobs(ctx, x, objects)
	if err == nil && !isOurs {
		err = exit.Usagef("the object store (%s) has no mark and none of the index's blobs; is its disk mounted, and the bucket the right one? Start `cas serve --adopt-store` once if the bytes are really lost", objects.Text)
	}
	return false, err
}

// RefuseOtherMark returns an error if the object store has the mark of another index. It
// reports whether the store has a mark. A bucket that is not there has none: the first start
// of a gateway may make it later.
func RefuseOtherMark(ctx context.Context, x Index, objects ObjectStore) (isMarked bool, err error) {
	want, err := x.Mark(ctx)
	if err != nil {
		return false, err
	}
	got, err := objects.marked().Mark(ctx)
	if s3store.CodeOf(err) == "NoSuchBucket" {
		return false, nil
	}
	if err == nil && got != "" && got != string(want) {
		err = exit.Usagef("the object store (%s) belongs to another index: it has the mark %q, and the index has %q; correct the settings; if the index was lost, `cas reindex` makes it again; start `cas serve --adopt-store` once if the store is the right one", objects.Text, got, want)
	}
	return got != "", err
}

// RefuseMark returns an error if the object store has a mark. It is for a data folder that has
// no index yet: a new index belongs to no store that has one. The remedy is NoIndexRemedy.
func RefuseMark(ctx context.Context, objects ObjectStore, dataDir string) error {
	mark, err := objects.Mark(ctx)
	if s3store.CodeOf(err) == "NoSuchBucket" {
		return nil
	}
	if err == nil && mark != "" {
		err = exit.Usagef("the object store (%s) belongs to another index: it has the mark %q, and the data folder %s has no index yet", objects.Text, mark, dataDir)
	}
	return err
}

// NoIndexRemedy is what to do after RefuseMark.
const NoIndexRemedy = "set CAS_DATA_DIR to the folder of that index, or CAS_DATABASE_URL to its database; if the index was lost, `cas reindex` makes it again; for a new index, set another store"

// RefuseOtherMark is RefuseOtherMark for the index that OpenToWrite has opened. The empty one of a
// dry run, which goes, has no mark that means anything.
func (c LocalIndex) RefuseOtherMark(ctx context.Context, x Index, objects ObjectStore) error {
	if !c.isMissing() {
		_, err := RefuseOtherMark(ctx, x, objects)
		return err
	}
	err := RefuseMark(ctx, objects, c.DataDir)
	if _, isRefused := errors.AsType[*exit.Error](err); isRefused {
		return fmt.Errorf("%w; %s", err, NoIndexRemedy)
	}
	return err
}

// TakeOverMark gives an empty index the mark of the object store, since the store belongs
// to the index that was lost. If the store has none, the index gets the exported mark, if
// that is not empty.
func TakeOverMark(ctx context.Context, x Index, objects ObjectStore, exported string) error {
	stored, err := objects.marked().Mark(ctx)
	if err != nil {
		return err
	}
	mark := cmp.Or(stored, exported)
	if mark == "" {
		return nil
	}
	if err := providers.Mark(mark).Check(); err != nil {
		return exit.Usagef("the object store (%s) has a damaged mark: %w", objects.Text, err)
	}
	_, err = x.RestoreMark(ctx, mark)
	return err
}

// AdoptStore marks the object store as the index's.
func AdoptStore(ctx context.Context, x Index, objects ObjectStore) error {
	mark, err := x.Mark(ctx)
	if err != nil {
		return err
	}
	return objects.marked().SetMark(ctx, string(mark))
}

// hasBlobs reports whether the store has one of the index's oldest blobs, or the index
// has none.
func hasBlobs(ctx context.Context, x Index, objects ObjectStore) (bool, error) {
	blobs, err := x.List(ctx, cas.Query{Limit: sampleBlobs})
	if err != nil || len(blobs) == 0 {
		return err == nil, err
	}
	for _, b := range blobs {
		_, err := objects.Stat(ctx, b.Object())
		if err == nil || errors.Is(err, cas.ErrObjectCorrupt) {
			return true, nil
		}
		if !errors.Is(err, cas.ErrObjectMissing) {
			return false, err
		}
	}
	return false, nil
}
