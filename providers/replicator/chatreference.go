package replicator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"casgate/cas"
	"casgate/providers"
)

// ChatReference is Reference for a chat. Of the provider's kinds for chats it takes the
// first one whose need can be met: a URL that the provider can reach, or a blob that is
// not too large. Parts of a message come before messages of their own. A copy that is made
// for it is an operation of its own, whose end OnEvent gets. If the provider takes no such
// file in a chat, the error wraps ErrNoReference.
func (r *Replicator) ChatReference(ctx context.Context, q Request) (Reference, error) {
	j, err := r.plan(ctx, q)
	if err != nil {
		return Reference{}, err
	}
	all := j.provider.References(j.fileType.MediaType, j.fileType.Extension)
	kinds := chatKinds(all)
	if len(kinds) == 0 {
		return Reference{}, noChatKind(j, all)
	}
	r.requesters.add(ctx, q, false)
	named := q
	q.Actor = "" // the caller waits for the reference, and not for the copy
	var ref Reference
	err = firstMet(kinds, func(kind providers.ReferenceKind) (err error) {
		if ref, err = r.referenceOf(ctx, q, j, kind); err == nil {
			err = ref.unreachable
		}
		return err
	})
	r.requesters.remove(q.OperationID)
	if errors.Is(err, providers.ErrCopyInProgress) {
		r.requesters.add(ctx, named, false) // the work goes on, for this client
	}
	if err != nil {
		return Reference{}, err
	}
	return ref, nil
}

// CheckChat returns the error that ChatReference will have for a blob of this size and media
// type, if it is certain before the blob is stored. It makes no copy, and asks no provider.
func (r *Replicator) CheckChat(ctx context.Context, q Request, blob cas.Blob) error {
	p, err := r.account(q.Provider)
	if err != nil {
		return err
	}
	j, err := r.planOf(p, blob, q)
	if err != nil {
		return err
	}
	all := j.provider.References(j.fileType.MediaType, j.fileType.Extension)
	kinds := chatKinds(all)
	if len(kinds) == 0 {
		return noChatKind(j, all)
	}
	return firstMet(kinds, func(kind providers.ReferenceKind) error { return r.checkKind(ctx, q, j, kind) })
}

// firstMet tries the kinds until the need of one is met, or fails for another reason. If
// none is met, it returns the first error.
func firstMet(kinds []providers.ReferenceKind, try func(providers.ReferenceKind) error) error {
	var first error
	for _, kind := range kinds {
		err := try(kind)
		if err == nil || !isUnmet(err) {
			return err
		}
		first = cmp.Or(first, err)
	}
	return first
}

// checkKind returns the error that a reference of this kind certainly has.
func (r *Replicator) checkKind(ctx context.Context, q Request, j job, kind providers.ReferenceKind) error {
	switch kind.Needs {
	case providers.NeedCopy, providers.NeedText:
		q.Purpose = kind.Purpose
		wanted, err := r.planOf(j.provider, j.blob, q)
		if err != nil {
			return err
		}
		return wanted.description.Check(wanted.purpose, wanted.wanted.Extension, wanted.wanted.Size)
	case providers.NeedURL:
		if err := checkSize(j, kind); err != nil {
			return err
		}
		signed, err := r.signedURLFor(ctx, j)
		if err != nil && !errors.Is(err, providers.ErrNoReference) {
			return nil // a URL in a bucket, for example, is made for blobs that are there
		}
		return cmp.Or(err, signed.unreachable)
	case providers.NeedBytes:
		return checkSize(j, kind)
	}
	return nil
}

// chatKinds returns the kinds for chats, in the order of preference.
func chatKinds(all []providers.ReferenceKind) []providers.ReferenceKind {
	var kinds []providers.ReferenceKind
	for _, place := range []providers.Place{providers.PlacePart, providers.PlaceMessage} {
		for _, kind := range all {
			if kind.Place == place && (kind.Request == providers.RequestChat || kind.Request == "") {
				kinds = append(kinds, kind)
			}
		}
	}
	return kinds
}

// isUnmet reports whether another kind of reference may do where this one can't.
func isUnmet(err error) bool {
	if errors.Is(err, providers.ErrReferenceUnreachable) || errors.Is(err, providers.ErrNoReference) {
		return true
	}
	e, ok := errors.AsType[*providers.Error](err)
	return ok && e.Kind == providers.KindPermanent && e.Op == providers.OpCheck
}

// noChatKind returns the error for a file that a provider takes in no chat. It says where
// the provider takes it.
func noChatKind(j job, all []providers.ReferenceKind) error {
	var requests []string
	for _, kind := range all {
		if where := kind.Where(); !slices.Contains(requests, where) {
			requests = append(requests, where)
		}
	}
	advice := "; it takes it nowhere"
	if len(requests) > 0 {
		advice = "; it takes it as " + strings.Join(requests, ", or as ")
	}
	return fmt.Errorf("%w: %s takes no file of the type %s in a chat%s", providers.ErrNoReference, j.description.Provider, j.fileType.MediaType, advice)
}
