package chatapi

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"golang.org/x/sync/errgroup"

	"casgate/cas"
	"casgate/gateway/problem"
	"casgate/gateway/request"
	"casgate/providers"
)

// parallel is the number of files of one request that are worked on at the same time.
const parallel = 8

// prepare takes in the bytes of the attachments, and makes their copies. All must be ready
// before anything is sent. Nothing is stored if the provider certainly refuses a part.
func (x *completion) prepare(ctx context.Context) error {
	for _, do := range []func(context.Context, *attachment) error{x.decode, x.takeIn} {
		if err := x.each(ctx, func(a *attachment) error {
			if a.inline == nil {
				return nil
			}
			return do(ctx, a)
		}); err != nil {
			return err
		}
	}
	x.leaveOut(func(a *attachment) bool { return a.source == sourcePassed })
	x.describe()
	return x.refer(ctx)
}

// each calls do for all attachments, several at a time, and returns the error of the first
// one in the request that failed.
func (x *completion) each(ctx context.Context, do func(*attachment) error) error {
	one := func(a *attachment) error {
		if err := x.late(ctx, do(a)); err != nil {
			return problem.WithParam(a.param.String(), err)
		}
		return nil
	}
	if len(x.attached) == 1 {
		return one(x.attached[0])
	}
	var group errgroup.Group
	group.SetLimit(parallel)
	errs := make([]error, len(x.attached))
	for i, a := range x.attached {
		group.Go(func() error {
			errs[i] = one(a)
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// describe puts the file into the request's record, if there is only one.
func (x *completion) describe() {
	record := &request.StateOf(x.c).Record
	for i, a := range x.attached {
		if i > 0 && a.want.Digest != record.Digest {
			record.Digest, record.FileID = cas.Digest{}, ""
			return
		}
		record.Digest, record.FileID = a.want.Digest, a.want.File
	}
}

// sameFile is what attachments with the same reference have in common.
type sameFile struct {
	digest          cas.Digest
	name, mediaType string
	inline, asIs    bool
}

// refer gets the references of all attachments. Several attachments of one file share one.
func (x *completion) refer(ctx context.Context) error {
	first := map[sameFile]*attachment{}
	x.loaded.Store(0)
	for i, a := range x.attached {
		a.want.OperationID = request.OperationID(x.c) + "." + strconv.Itoa(i+1)
		if key := keyOf(a); first[key] == nil {
			first[key] = a
		}
	}
	err := x.each(ctx, func(a *attachment) error {
		if first[keyOf(a)] != a {
			return nil
		}
		return x.unlessPassed(a, x.referTo(ctx, a))
	})
	if err != nil {
		return err
	}
	x.leaveOut(func(a *attachment) bool {
		of := first[keyOf(a)]
		a.ref = of.ref
		return of.source == sourcePassed
	})
	return nil
}

// leaveOut removes the attachments that stay in the request as they are.
func (x *completion) leaveOut(stays func(*attachment) bool) {
	x.attached = slices.DeleteFunc(x.attached, func(a *attachment) bool {
		if !stays(a) {
			return false
		}
		x.h.metrics.part(x.to.provider, a.part.Type, sourcePassed)
		return true
	})
}

// loadFactor is how many times the size of a text or blob is in memory while its reference
// is made: as it was read, and as JSON in the making and made.
const loadFactor = 3

// referTo gets the reference of one attachment. What it brings into memory is charged
// before it comes.
func (x *completion) referTo(ctx context.Context, a *attachment) error {
	x.memory.shrink(a.charged) // of the reference before
	a.charged = 0
	a.want.Reserve = func(size int64) error {
		if err := x.h.checkSent(x.loaded.Add(size)); err != nil {
			return err
		}
		if err := x.memory.grow(loadFactor * size); err != nil {
			return err
		}
		a.charged += loadFactor * size
		return nil
	}
	var err error
	if a.ref, err = x.h.Copies.ChatReference(ctx, a.want); err != nil || a.charged == 0 {
		return err
	}
	rest := min(a.charged, int64(len(a.ref.Value)))
	x.memory.shrink(a.charged - rest)
	a.charged = rest
	return nil
}

func keyOf(a *attachment) sameFile {
	return sameFile{a.want.Digest, a.want.Name, a.want.MediaType, a.source == sourceInline || a.source == sourcePassed, a.asIs}
}

// unlessPassed is referenceError, unless the provider takes the bytes as they stand, and
// nothing else.
func (x *completion) unlessPassed(a *attachment, err error) error {
	if errors.Is(err, providers.ErrNoReference) && a.source == sourceInline && a.asIs {
		a.source = sourcePassed
		return nil
	}
	return x.referenceError(a, err)
}

// referenceError gives an error of a reference the code that it has in a chat.
func (x *completion) referenceError(a *attachment, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, providers.ErrReferenceUnreachable):
		return err
	case errors.Is(err, providers.ErrNoReference):
		return problem.New(problem.NoReference, err.Error())
	case errors.Is(err, cas.ErrBlobNotFound):
		return problem.WithBlob(err, a.want.Digest)
	}
	return err
}

// pieces returns the body for the provider, if it may be as large.
func (x *completion) pieces() ([][]byte, int64, error) {
	var values int64 // each part has its own copy of its reference
	for _, a := range x.attached {
		values += int64(len(a.ref.Value))
	}
	if err := x.h.checkSent(values); err != nil {
		return nil, 0, err
	}
	edit := x.body.Edit()
	edit.SetModel(x.to.model)
	inserted := map[string]bool{} // messages; a file that several messages name needs one
	for _, a := range x.attached {
		if a.ref.Kind.Place == providers.PlaceMessage {
			edit.ReplaceText(a.part, nameOf(a))
			if value := string(a.ref.Value); !inserted[value] {
				inserted[value] = true
				edit.InsertMessage(a.part, a.ref.Value)
			}
			continue
		}
		if err := edit.Replace(a.part, a.ref.Value); err != nil {
			return nil, 0, fmt.Errorf("the reference to %s: %w", a.want.Digest.Short(), err)
		}
	}
	pieces, size := edit.Pieces()
	return pieces, size, x.h.checkSent(size)
}

// nameOf returns what stands in the place of a file whose content is in a message of its
// own. A content without any part would be refused.
func nameOf(a *attachment) string {
	if a.want.Name != "" {
		return a.want.Name
	}
	return a.want.Digest.String()
}
