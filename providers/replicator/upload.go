package replicator

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"casgate/providers"
)

// findOrUpload finds the remote file of an earlier attempt, or uploads one.
func (r *Replicator) findOrUpload(ctx context.Context, j job, o *outcome) error {
	c := o.row
	// The row was claimed before this check, and a delete of a blob with its copies reads
	// the rows after it condemned the blob: at least one of the two sees the other.
	// Without the check a gateway with a cached blob would upload it after the delete.
	if err := r.blobs.Confirm(ctx, c.Digest); err != nil {
		return err
	}
	if err := r.adoptEarlier(ctx, j, o); err != nil {
		return err
	}
	if f := o.file; f.ID != "" {
		r.log.Info().Str("operation_id", c.OperationID).Stringer("copy", c.Key).Str("file", f.ID).Msg("adopted the file of an earlier attempt, whose outcome was unknown")
		r.metrics.count(c.Provider, outcomeAdopted)
		r.o.OnStep(StepAdopted)
		return nil
	}
	if !j.wanted.Retry {
		if err := r.budget.check(c.Key); err != nil {
			return err
		}
	}
	if j.wanted.Retry {
		r.censuses.forget(j.description.Account) // others' files may be gone
	}
	if err := r.uploadWithRoom(ctx, j, o); err != nil {
		return err
	}
	r.censuses.clearStuck(j.description.Account, j.purpose.Name)
	r.metrics.count(c.Provider, outcomeUploaded)
	r.o.OnStep(StepUploaded)
	return nil
}

// uploadWithRoom makes room and uploads. If the provider refuses the upload because the
// account is full, it makes room and uploads once more, while no other upload to the
// account runs: otherwise that could take the place.
func (r *Replicator) uploadWithRoom(ctx context.Context, j job, o *outcome) error {
	if _, err := r.makeRoom(ctx, j, nil); err != nil {
		return err
	}
	r.o.OnStep(StepRoomMade)
	room := r.censuses.room(j.description.Account)
	leave, err := room.share(ctx)
	if err != nil {
		return err
	}
	err = r.upload(ctx, j, o)
	refused := time.Now()
	leave()
	refusal, full := saysFull(err)
	if !full {
		return err
	}
	j.place.reserve(false)
	r.censuses.noteLimit(j.description.Account, refusal)
	if leave, err = room.takeAll(ctx); err != nil {
		return err
	}
	defer leave()
	return r.uploadAlone(ctx, j, o, shortage{refusal: refusal, refused: refused, alone: time.Now()})
}

// maxRoomSends is how often at most an upload is sent to an account that refuses it.
const maxRoomSends = 5

// uploadAlone makes room after a refusal, and uploads again. No other upload to the account
// runs. If that is refused, too, it tries again: if it has evicted nothing yet; if the
// numbers by which it evicted are older than the time since which it is alone; or if the
// provider still listed a deleted file.
func (r *Replicator) uploadAlone(ctx context.Context, j job, o *outcome, s shortage) error {
	for sends := 2; ; sends++ {
		if !s.isFreed() {
			if err := r.makeRoomAfter(ctx, j, &s); err != nil {
				return err
			}
		}
		j.place.reserve(true)
		r.o.OnStep(StepRoomMade)
		err := r.upload(ctx, j, o)
		again, full := saysFull(err)
		if !full {
			return err
		}
		r.censuses.noteLimit(j.description.Account, again)
		s.refusal, s.refused = again, time.Now()
		if s.isFreed() || sends == maxRoomSends {
			now, waited, err := r.censusAfterDeletes(ctx, j, s.refused)
			if err != nil {
				r.log.Warn().Err(err).Str("operation_id", j.wanted.OperationID).Stringer("copy", j.wanted.Key).Msg("the account is still full, and its files could not be counted")
			}
			if err != nil || !waited || sends == maxRoomSends {
				return r.stayedFull(ctx, j, s, now)
			}
		}
		j.place.reserve(false)
	}
}

// saysFull reports whether a provider refused an upload because the account has too many
// files or bytes.
func saysFull(err error) (*providers.Error, bool) {
	e, ok := errors.AsType[*providers.Error](err)
	return e, ok && e.Kind == providers.KindQuota && e.TooMany
}

// upload sends the blob. It records the file, or what may be left of it.
func (r *Replicator) upload(ctx context.Context, j job, o *outcome) error {
	c := o.row
	mark, err := r.installationMark(ctx)
	if err != nil {
		return err
	}
	name := providers.RemoteName(mark, c.Name, c.Digest, c.Extension, c.Fence)
	var sent atomic.Int64
	var opened atomic.Bool
	f, err := j.provider.Upload(ctx, providers.Upload{
		Purpose:   c.Purpose,
		Name:      name,
		MediaType: c.MediaType,
		Size:      j.blob.Size,
		Open: func(ctx context.Context) (io.ReadCloser, error) {
			content, err := r.blobs.OpenVerified(ctx, j.blob)
			if err != nil {
				return nil, err
			}
			opened.Store(true)
			if content.Body == nil {
				return sentBytes{io.NopCloser(bytes.NewReader(content.Bytes)), &sent}, nil // verified before it was cached
			}
			return sentBytes{content.Body, &sent}, nil
		},
	})
	r.budget.spend(c.Key, sent.Load(), err)
	if err != nil {
		// Nothing can come of an upload that was not sent whole.
		whole := opened.Load() && sent.Load() >= j.blob.Size
		o.mayTurnUp = o.mayTurnUp || whole && mayHaveStored(err)
		return err
	}
	if f.Size != 0 && f.Size != j.blob.Size && !j.purpose.Rewritten {
		o.givenUp = f.ID
		return &providers.Error{
			Provider: c.Provider, Op: providers.OpUpload, Kind: providers.KindPermanent, Code: providers.CodeWrongSize,
			Message: fmt.Sprintf("%d bytes were sent, and the provider says that the file has %d", j.blob.Size, f.Size),
			Hint:    "that file is deleted there; ask again with retry=true if the provider was at fault",
		}
	}
	f.Name = cmp.Or(f.Name, name)
	if life := f.ExpiresAt.Sub(f.CreatedAt); !f.CreatedAt.IsZero() && life > 0 && f.ExpiresAt.Before(time.Now()) {
		f.ExpiresAt = time.Now().Add(life) // the provider's clock is slow
	}
	if f.ExpiresAt.IsZero() && j.purpose.Lifetime() > 0 {
		f.ExpiresAt = time.Now().Add(j.purpose.Lifetime())
	}
	o.file = f
	return nil
}
