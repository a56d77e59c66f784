package collector

import (
	"context"
	"fmt"
	"iter"
	"time"

	"casgate/cas"
)

// Lister lists all objects of a store.
type Lister interface {
	List(ctx context.Context) iter.Seq2[cas.ObjectInfo, error]
}

// OrphanIndex is what a sweep needs of an index. Index drivers implement it.
type OrphanIndex interface {
	// CondemnOrphans makes condemned rows for objects that no row names, and that a commit
	// could still make readable. It returns those, and the stale ones: objects of a
	// generation that no commit can make readable any more. Of several objects of one
	// blob without a row it condemns the one with the highest generation.
	CondemnOrphans(ctx context.Context, objects []cas.ObjectInfo) (Orphans, error)
	// FindOrphans returns what CondemnOrphans would return now, and changes nothing.
	FindOrphans(ctx context.Context, objects []cas.ObjectInfo) (Orphans, error)
}

// Orphans are objects that no row names.
type Orphans struct {
	Condemned []cas.ObjectRef
	Stale     []cas.ObjectRef
}

// DefaultOrphanAge is longer than an upload can last between its object and its row.
const DefaultOrphanAge = 24 * time.Hour

// SweepOptions configures a sweep.
type SweepOptions struct {
	Lister  Lister
	Index   OrphanIndex
	Objects Objects
	// Age is how old an object must be. An upload writes its row within seconds after its
	// object.
	Age time.Duration
	// DryRun: the orphans are counted, and stay as they are.
	DryRun bool
	// Progress is called with the state after each batch. Optional.
	Progress func(Swept)
}

// Swept is the result of a sweep.
type Swept struct {
	Objects   int64 `json:"objects"`   // objects looked at
	Young     int64 `json:"young"`     // objects not looked at, since they are younger than the age
	Condemned int64 `json:"condemned"` // orphans that the collector removes after the grace period
	Stale     int64 `json:"stale"`     // objects of old generations, which a sweep removes
}

// Sweep looks for objects that no row names: an upload left them whose commit failed, or
// whose process died. They are condemned, as if a blob had been stored and deleted: so
// they have the grace period, in which an upload brings them back, and the brake of the
// collector counts them. Objects of old generations are removed at once.
func Sweep(ctx context.Context, o SweepOptions) (swept Swept, err error) {
	if o.Progress == nil {
		o.Progress = func(Swept) {}
	}
	before := time.Now().Add(-o.Age)
	var batch []cas.ObjectInfo
	for object, err := range o.Lister.List(ctx) {
		if err != nil {
			return swept, err
		}
		if object.ModifiedAt.After(before) {
			swept.Young++
			continue
		}
		if batch = append(batch, object); len(batch) == batchSize {
			if err := swept.sweep(ctx, o, batch); err != nil {
				return swept, err
			}
			batch = batch[:0]
		}
	}
	return swept, swept.sweep(ctx, o, batch)
}

// sweep looks at a batch of objects.
func (s *Swept) sweep(ctx context.Context, o SweepOptions, batch []cas.ObjectInfo) error {
	if len(batch) == 0 {
		return nil
	}
	look := o.Index.CondemnOrphans
	if o.DryRun {
		look = o.Index.FindOrphans
	}
	found, err := look(ctx, batch)
	if err != nil {
		return err
	}
	s.Objects += int64(len(batch))
	s.Condemned += int64(len(found.Condemned))
	if o.DryRun {
		s.Stale += int64(len(found.Stale))
		found.Stale = nil
	}
	for _, ref := range found.Stale {
		if err := o.Objects.Delete(ctx, ref); err != nil {
			return fmt.Errorf("remove an object of an old generation: %w", err)
		}
		s.Stale++
	}
	o.Progress(*s)
	return nil
}
