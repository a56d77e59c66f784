package replicator

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"casgate/providers"
	"casgate/providers/ledger"
)

const (
	// The delays between attempts double from the first to the last, with jitter.
	firstDelay = 500 * time.Millisecond
	lastDelay  = 5 * time.Minute
	// fullDelay is how long a full or unpaid account, or a refused key, is not tried
	// again, however often a copy is asked for.
	fullDelay = time.Minute
	authDelay = 10 * time.Second
	// processingLimit bounds how long a provider may work on a file it has taken.
	processingLimit = 15 * time.Minute
	// The delays between looks at a file in process.
	firstLook = 200 * time.Millisecond
	lastLook  = 5 * time.Second
	// roomAttempts bounds how often room is made for one upload.
	roomAttempts = 16
)

// errLeaseLost: somebody else has claimed the row that this process worked on.
var errLeaseLost = errors.New("the lease was lost")

// work makes a copy that this process has claimed, and records what came of it.
// The row it returns is the one after that; its State says whether, and when, to
// try again.
func (r *Replicator) work(ctx context.Context, j job, claimed ledger.Copy) (ledger.Copy, error) {
	r.o.OnStep(StepClaimed)
	leased, release := r.holdLease(ctx, claimed)
	c, f, err := r.attempt(leased, j, claimed)
	lost := release()
	switch {
	case err == nil:
		r.o.OnStep(StepCompleted)
		if claimed.FileID != "" && claimed.FileID != c.FileID {
			r.discard(j, claimed.FileID) // a renewal took its place
		}
		return c, nil
	case lost || errors.Is(err, errLeaseLost):
		r.yield(ctx, j, claimed, f)
		return claimed, errLeaseLost
	}
	r.metrics.count(claimed.Provider, outcomeFailed)
	return r.recordFailure(ctx, j, c, f, err) // the row as it came to be, perhaps in process
}

// holdLease extends the lease of a claim until release is called. The context it
// returns ends when the lease is lost, or could not be extended in its time;
// release reports that.
func (r *Replicator) holdLease(ctx context.Context, claimed ledger.Copy) (leased context.Context, release func() (lost bool)) {
	leased, cancel := context.WithCancelCause(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		held := time.Now()
		tick := time.NewTicker(r.o.Lease / 3)
		defer tick.Stop()
		for {
			select {
			case <-leased.Done():
				return
			case <-tick.C:
			}
			asked := time.Now()
			ok, err := r.ledger.ExtendLease(leased, claimed.Key, claimed.Fence, r.o.Lease)
			switch {
			case err == nil && ok:
				held = asked
			case err == nil || time.Since(held) > r.o.Lease:
				cancel(errLeaseLost)
				return
			}
		}
	}()
	return leased, func() bool {
		cancel(nil)
		<-ended
		return errors.Is(context.Cause(leased), errLeaseLost)
	}
}

// attempt goes through the protocol once. It returns the completed row, or the
// error and, where one was made, the remote file.
func (r *Replicator) attempt(ctx context.Context, j job, c ledger.Copy) (ledger.Copy, providers.RemoteFile, error) {
	var f providers.RemoteFile
	var err error
	if c.State == ledger.StateUnverified {
		if f, err = r.verifyNoted(ctx, j, c); err != nil {
			return c, f, err
		}
	} else if c.State == ledger.StateProcessing {
		f = providers.RemoteFile{ID: c.FileID, Name: c.RemoteName, Size: c.Size, Purpose: c.Purpose, ExpiresAt: c.ExpiresAt, Status: providers.StatusProcessing}
	} else if f, err = r.place(ctx, j, c); err != nil {
		return c, f, err
	}
	if f.Status == providers.StatusProcessing {
		if c.State != ledger.StateProcessing {
			if c, err = r.complete(ctx, c, f); err != nil {
				return c, f, err
			}
			r.o.OnStep(StepProcessed)
		}
		if f, err = r.awaitReady(ctx, j, f); err != nil {
			return c, f, err
		}
	}
	if f.Status == providers.StatusFailed {
		r.discard(j, f.ID)
		return c, providers.RemoteFile{}, &providers.Error{
			Provider: c.Provider, Op: providers.OpUpload, Kind: providers.KindPermanent, Code: "processing_failed",
			Message: cmp.Or(f.Detail, "the provider could not process the file"),
			Hint:    "check that the file is whole and of the kind its name says",
		}
	}
	c, err = r.complete(ctx, c, f)
	return c, f, err
}

// place finds the remote file of an earlier attempt, or uploads one.
func (r *Replicator) place(ctx context.Context, j job, c ledger.Copy) (providers.RemoteFile, error) {
	// The row was claimed before this look, and who deletes a blob with its copies looks
	// for rows after it is condemned: one of the two sees the other. Without the look a
	// gateway that still remembers the blob would upload it after that.
	if err := r.blobs.Confirm(ctx, c.Digest); err != nil {
		return providers.RemoteFile{}, err
	}
	if c.Uncertain {
		f, found, err := r.findEarlier(ctx, j, c)
		if err != nil {
			return providers.RemoteFile{}, err
		}
		if found {
			r.log.Info().Str("operation_id", c.OperationID).Stringer("copy", c.Key).Str("file", f.ID).Msg("adopted the file of an earlier attempt, whose outcome was unknown")
			r.metrics.count(c.Provider, outcomeAdopted)
			r.o.OnStep(StepAdopted)
			return f, nil
		}
	}
	// What an earlier fence may have left behind is known by now; from here on only
	// this upload is uncertain.
	for range roomAttempts {
		if err := r.makeRoom(ctx, j); err != nil {
			return providers.RemoteFile{}, err
		}
		r.o.OnStep(StepRoomMade)
		f, err := r.upload(ctx, j, c)
		e, ok := errors.AsType[*providers.Error](err)
		if ok && e.Kind == providers.KindQuota && e.TooMany && !r.o.NoEviction {
			// The account holds files that the ledger doesn't know.
			evicted, evictErr := r.evict(ctx, j, "")
			if evictErr != nil {
				return providers.RemoteFile{}, evictErr
			}
			if evicted {
				continue
			}
		}
		if err != nil {
			return providers.RemoteFile{}, err
		}
		r.metrics.count(c.Provider, outcomeUploaded)
		r.o.OnStep(StepUploaded)
		return f, nil
	}
	return providers.RemoteFile{}, &providers.Error{
		Provider: c.Provider, Op: providers.OpUpload, Kind: providers.KindQuota, TooMany: true, Code: "no_room",
		Message: fmt.Sprintf("the account is full even after %d copies were removed", roomAttempts),
		Hint:    "other programs may fill the account; remove files there",
	}
}

// upload sends the blob.
func (r *Replicator) upload(ctx context.Context, j job, c ledger.Copy) (providers.RemoteFile, error) {
	name := providers.RemoteName(c.Name, c.Digest, c.Extension, c.Fence)
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
			if content.Body == nil {
				return io.NopCloser(bytes.NewReader(content.Bytes)), nil // verified before it got into memory
			}
			return content.Body, nil
		},
	})
	if err != nil {
		return f, err
	}
	if f.Size != 0 && f.Size != j.blob.Size && !j.purpose.Rewritten {
		r.discard(j, f.ID)
		return providers.RemoteFile{}, &providers.Error{
			Provider: c.Provider, Op: providers.OpUpload, Kind: providers.KindTransient, Code: providers.CodeBadAnswer,
			Message: fmt.Sprintf("the provider says that it has %d of %d bytes", f.Size, j.blob.Size),
		}
	}
	f.Name = cmp.Or(f.Name, name)
	if f.ExpiresAt.IsZero() && j.purpose.Lifetime() > 0 {
		f.ExpiresAt = time.Now().Add(j.purpose.Lifetime())
	}
	return f, nil
}

// findEarlier looks for a remote file that an earlier attempt has left.
func (r *Replicator) findEarlier(ctx context.Context, j job, c ledger.Copy) (providers.RemoteFile, bool, error) {
	if j.purpose.Unlisted {
		r.log.Warn().Str("operation_id", c.OperationID).Stringer("copy", c.Key).Msg("an earlier upload may have got through, and the provider doesn't list files of this purpose; uploading again")
		return providers.RemoteFile{}, false, nil
	}
	var best providers.RemoteFile
	var bestFence int64
	left, err := leftovers(ctx, j.provider, c)
	if err != nil {
		return providers.RemoteFile{}, false, err
	}
	for _, f := range left {
		if name, _ := providers.ParseRemoteName(f.Name); name.Fence > bestFence && f.ID != c.FileID && f.Status != providers.StatusFailed {
			best, bestFence = f, name.Fence
		}
	}
	if bestFence > 0 && best.ExpiresAt.IsZero() && j.purpose.Lifetime() > 0 {
		best.ExpiresAt = cmp.Or(best.CreatedAt, time.Now()).Add(j.purpose.Lifetime())
	}
	return best, bestFence > 0, nil
}

// matches reports whether a remote file is one of this copy's.
func matches(c ledger.Copy, name providers.ParsedRemoteName, f providers.RemoteFile, p providers.Purpose) bool {
	return name.DigestHex == providers.RemoteNameDigest(c.Digest) && name.Extension == c.Extension &&
		(f.Size == c.Size || p.Rewritten) && (f.Purpose == "" || f.Purpose == c.Purpose)
}

// awaitReady looks at a file in process until it is ready, or failed.
func (r *Replicator) awaitReady(ctx context.Context, j job, f providers.RemoteFile) (providers.RemoteFile, error) {
	poller, ok := providers.Ability[providers.Poller](j.provider)
	if !ok {
		f.Status = providers.StatusReady // nobody can say more of it
		return f, nil
	}
	began := time.Now()
	for delay := firstLook; ; delay = min(2*delay, lastLook) {
		timer := time.NewTimer(delay/2 + rand.N(delay))
		select {
		case <-ctx.Done():
			timer.Stop()
			return f, context.Cause(ctx)
		case <-timer.C:
		}
		now, err := poller.Poll(ctx, f.ID)
		switch {
		case providers.KindOf(err) == providers.KindTransient || providers.KindOf(err) == providers.KindUnknown:
			if time.Since(began) > processingLimit || ctx.Err() != nil {
				return f, err
			}
		case err != nil:
			return f, err
		case now.Status == providers.StatusProcessing && time.Since(began) > processingLimit:
			return f, &providers.Error{
				Provider: j.about.Provider, Op: providers.OpPoll, Kind: providers.KindTransient, Code: providers.CodeTimeout,
				Message: fmt.Sprintf("the provider has been processing the file for %v", processingLimit),
			}
		case now.Status != providers.StatusProcessing:
			f.Status, f.Detail = now.Status, now.Detail
			return f, nil
		}
	}
}

// complete records the remote file. A write whose outcome is unknown is repeated:
// with the same fence it changes nothing more.
func (r *Replicator) complete(ctx context.Context, c ledger.Copy, f providers.RemoteFile) (ledger.Copy, error) {
	// The file is there; that the work was cancelled must not make it an orphan.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.o.Lease)
	defer cancel()
	for delay := 50 * time.Millisecond; ; delay = min(2*delay, 2*time.Second) {
		done, held, err := r.ledger.CompleteCopy(ctx, c.Key, c.Fence, f)
		switch {
		case err == nil && held:
			return done, nil
		case err == nil:
			return c, errLeaseLost
		}
		select {
		case <-ctx.Done():
			return c, fmt.Errorf("the provider has the file, and the index can't be told: %w", err)
		case <-time.After(delay):
		}
	}
}

// yield gives way to whoever claimed the row: it waits until the row has settled,
// since the other may adopt the very file that was made here, and removes that
// file where it isn't wanted.
func (r *Replicator) yield(ctx context.Context, j job, c ledger.Copy, f providers.RemoteFile) {
	end, err := r.begin()
	if err != nil {
		return // a reconcile finds what may be left
	}
	go func() {
		defer end()
		ctx, cancel := context.WithTimeout(ctx, processingLimit)
		defer cancel()
		for {
			changed, release := r.changes.wait(c.Digest)
			now, err := r.ledger.Copy(ctx, c.Key)
			if settled := err == nil && now.State.Settled(); settled || errors.Is(err, ledger.ErrNotFound) {
				release()
				if f.ID != "" && now.FileID != f.ID {
					r.discard(j, f.ID)
				}
				if f.ID == "" {
					r.discardUnknown(ctx, j, c, now.FileID)
				}
				return
			}
			err = r.await(ctx, now, changed)
			release()
			if err != nil {
				r.log.Warn().Err(err).Str("operation_id", c.OperationID).Stringer("copy", c.Key).Str("file", f.ID).Msg("a remote file may be left over; a reconcile will find it")
				return
			}
		}
	}()
}

// discard removes a remote file that no row names. What fails is logged, and the
// file left for a reconcile.
func (r *Replicator) discard(j job, id string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.working), time.Minute)
	defer cancel()
	if err := j.provider.Delete(ctx, id); err != nil && providers.KindOf(err) != providers.KindLost {
		r.log.Warn().Err(err).Str("operation_id", j.wanted.OperationID).Stringer("copy", j.wanted.Key).Str("file", id).Msg("a remote file is left over; a reconcile will find it")
	}
}

// discardUnknown removes the file of an upload that was broken off, in case it got
// through: exactly the one with this claim's fence in its name.
func (r *Replicator) discardUnknown(ctx context.Context, j job, c ledger.Copy, keep string) {
	left, err := leftovers(ctx, j.provider, c)
	if err != nil {
		r.log.Warn().Err(err).Str("operation_id", c.OperationID).Stringer("copy", c.Key).Msg("could not look for a file that may be left over; a reconcile will find it")
		return
	}
	for _, f := range left {
		if name, _ := providers.ParseRemoteName(f.Name); name.Fence == c.Fence && f.ID != keep {
			r.discard(j, f.ID)
		}
	}
}

// recordFailure decides what a failed attempt means, and writes it down. It
// returns the row as it then is.
func (r *Replicator) recordFailure(ctx context.Context, j job, c ledger.Copy, made providers.RemoteFile, cause error) (ledger.Copy, error) {
	f := r.classifyFailure(ctx, c, made, cause)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), bookkeepingTimeout)
	defer cancel()
	failed, held, err := r.ledger.FailCopy(ctx, c.Key, c.Fence, f)
	switch {
	case err != nil:
		// The lease runs out, and whoever comes next looks for the file first.
		r.log.Error().Err(err).Str("operation_id", c.OperationID).Stringer("copy", c.Key).AnErr("cause", cause).Msg("could not record a failed upload")
		return c, cause
	case !held:
		return c, errLeaseLost
	}
	r.log.Warn().Err(cause).Str("operation_id", c.OperationID).Stringer("copy", c.Key).Str("state", string(failed.State)).Int("attempts", failed.Attempts).Msg("copy failed")
	return failed, cause
}

// classifyFailure turns an error into the Failure that the ledger records: the next
// state, the time of the next attempt, and whether a remote file may be left.
func (r *Replicator) classifyFailure(ctx context.Context, c ledger.Copy, made providers.RemoteFile, cause error) ledger.Failure {
	e := asError(cause, c.Provider, providers.OpUpload)
	fault, own := providers.GatewayFault(cause)
	f := ledger.Failure{State: ledger.StatePending, Error: e, Again: true, After: cmp.Or(e.RetryAfter, backoffDelay(c.Attempts))}
	switch {
	case e.Kind == providers.KindLost && c.State == ledger.StateUnverified: // so it is made anew, now
		f.After = 0
		return f
	case ctx.Err() != nil: // this gateway stops; another, or the next start, goes on
		f.Uncertain, f.After = true, 0
		return f
	case fault == providers.CodeIndexUnavailable:
		f.Error = &providers.Error{
			Provider: c.Provider, Op: providers.OpUpload, Kind: providers.KindTransient, Code: fault,
			Message: "the gateway's index did not answer",
		}
	case own:
		f.State, f.After = ledger.StateFailed, time.Second
		f.Error = &providers.Error{
			Provider: c.Provider, Op: providers.OpUpload, Kind: providers.KindTransient, Code: fault,
			Message: "the gateway's own bytes could not be read",
			Hint:    "upload the blob to the gateway again if it is damaged or missing",
		}
	case e.Kind == providers.KindPermanent:
		f.State, f.Again = ledger.StateFailed, false
	case e.Kind == providers.KindQuota:
		f.State, f.After = ledger.StateFailed, max(e.RetryAfter, fullDelay)
	case e.Kind == providers.KindAuth:
		f.State, f.After = ledger.StateFailed, max(e.RetryAfter, authDelay)
	case e.Code == providers.CodeUnavailable: // it wasn't tried; the provider's return is waited for
	case c.Attempts >= r.o.MaxAttempts:
		f.State, f.After = ledger.StateFailed, max(e.RetryAfter, fullDelay)
	}
	switch {
	case e.Kind == providers.KindLost, e.Kind == providers.KindPermanent:
	case made.ID != "":
		f.Uncertain = true // the file is there, and next time it is found
	case own: // the provider never got the whole content
	case e.Kind == providers.KindUnknown, e.Kind == providers.KindTransient && e.Status >= 500:
		f.Uncertain = true // a server that failed in the middle may have kept it
	}
	if old := c; old.FileID != "" && old.State == ledger.StateUploading {
		old.State = ledger.StateReady
		if usable(old, 0) {
			f.State = ledger.StateReady
		}
	}
	return f
}

// backoffDelay is how long to wait after that many attempts.
func backoffDelay(attempts int) time.Duration {
	delay := firstDelay << min(max(attempts-1, 0), 16)
	delay = min(delay, lastDelay)
	return delay/2 + rand.N(delay/2)
}

// asError makes an *Error of whatever a call failed with. What isn't one is of the
// gateway's own making, and may name hosts and files, which are for its log alone.
func asError(cause error, provider string, op providers.Op) *providers.Error {
	if e, ok := errors.AsType[*providers.Error](cause); ok {
		return e
	}
	return &providers.Error{
		Provider: provider, Op: op, Kind: providers.KindUnknown, Code: "gateway",
		Message: "something failed in the gateway; its log has the details", Hint: "try again shortly",
	}
}
