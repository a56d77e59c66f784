package folderstore

import (
	"context"
	"errors"
	"io/fs"
	"path"

	"golang.org/x/sync/errgroup"

	"casgate/cas"
)

// flushers is the number of folders that DeleteAll flushes at the same time.
const flushers = 8

// Delete implements cas.ObjectStore.
func (s *Store) Delete(ctx context.Context, ref cas.ObjectRef) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := s.remove(ref); err != nil {
		return err
	}
	return s.flushRemoval(ref)
}

// DeleteAll is Delete for many objects. It flushes their folders together, after the last
// removal: most file systems then write all removals at once, and disks join flushes that
// come at the same time. It returns the objects whose removal is not confirmed, and the
// first error.
func (s *Store) DeleteAll(ctx context.Context, refs []cas.ObjectRef) (left []cas.ObjectRef, err error) {
	var removed []cas.ObjectRef
	for _, ref := range refs {
		fault := ctx.Err()
		if fault == nil {
			fault = s.remove(ref)
		}
		if fault == nil {
			removed = append(removed, ref)
			continue
		}
		left = append(left, ref)
		if err == nil {
			err = fault
		}
	}
	var flushes errgroup.Group
	flushes.SetLimit(flushers)
	for _, ref := range removed {
		flushes.Go(func() error { return s.flushRemoval(ref) })
	}
	if fault := flushes.Wait(); fault != nil {
		return refs, fault
	}
	return left, err
}

// remove removes an object. Its removal is not durable yet.
func (s *Store) remove(ref cas.ObjectRef) error {
	if err := s.root.Remove(ref.Key()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return storeError("remove", ref, err)
	}
	return nil
}

// flushRemoval makes the removal of an object durable. It does so also if the object was
// missing: an earlier call may have removed it, and failed here.
func (s *Store) flushRemoval(ref cas.ObjectRef) error {
	if err := s.syncDir(path.Dir(ref.Key())); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return storeError("fsync folder", ref, err)
	}
	return nil
}
