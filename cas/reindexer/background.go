package reindexer

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/rs/zerolog"
)

// OrphanAge is longer than an upload can last between its object and its row.
const OrphanAge = 24 * time.Hour

// Background adopts orphans from time to time: objects that no row names since the commit
// of their upload failed, or its process died. It removes objects of old generations, which
// a removal that failed has left. Any number of gateways may run it.
type Background struct {
	Options
	Every time.Duration // between two looks at the whole store
	// CheckStore returns an error if the object store is not the index's.
	CheckStore func(ctx context.Context) error
	Log        zerolog.Logger
}

// Run looks for orphans in intervals until ctx is done, and returns ctx's error. The
// first look comes after a random part of the interval, so that gateways don't list the
// store together.
func (b Background) Run(ctx context.Context) error {
	wait := time.NewTimer(rand.N(b.Every))
	defer wait.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-wait.C:
		}
		b.look(ctx)
		wait.Reset(b.Every)
	}
}

// look adopts the orphans once.
func (b Background) look(ctx context.Context) {
	err := b.CheckStore(ctx)
	var counts Counts
	if err == nil {
		o := b.Options
		o.MinAge = max(o.MinAge, 1)
		o.Report = func(p Problem) {
			b.Log.Warn().Err(p.Err).Str("object", p.Object.Key()).Msg("an object that no row names is wrong; it stays as it is")
		}
		counts, err = Run(ctx, o)
	}
	switch {
	case ctx.Err() != nil:
	case err != nil:
		b.Log.Warn().Err(err).Msg("could not look for objects that no row names; trying again later")
	case counts.Adopted+counts.Removed > 0:
		b.Log.Info().Int64("adopted", counts.Adopted).Int64("bytes", counts.Bytes).Int64("removed", counts.Removed).Int64("objects", counts.Objects).
			Msg("made rows for objects that uploads had left without one, and removed those of old generations")
	}
}
