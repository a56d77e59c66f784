package main

import (
	"bytes"
	"context"
	"io"
	"time"

	"casgate/cas"
	"casgate/cas/collector"
	"casgate/cmd/cas/internal/wiring"
	"casgate/providers/ledger"
)

// brokenVariable names a step that a gateway of this test binary does wrong, as a gateway
// with a fault would. scripts/chaos must notice it.
const brokenVariable = "CAS_TEST_BROKEN"

// setBroken breaks a step. A name that is not known breaks the process.
func setBroken(step string) {
	switch step {
	case "":
	case "upload":
		hooks.objects = func(s cas.ObjectStore) cas.ObjectStore { return hastyStore{s} }
	case "rescue":
		hooks.index = func(x wiring.Index) wiring.Index { return trustingIndex{x} }
	case "collect":
		hooks.index = func(x wiring.Index) wiring.Index { return hastyCollection{x} }
	case "ensure":
		hooks.index = func(x wiring.Index) wiring.Index { return forgetfulLedger{x} }
	case "delete everywhere":
		hooks.index = func(x wiring.Index) wiring.Index { return lazyLedger{x} }
	default:
		panic(brokenVariable + ": no step is called " + step)
	}
}

// hastyStore acknowledges an object before it is durable. A crash loses it.
type hastyStore struct{ cas.ObjectStore }

func (s hastyStore) Put(ctx context.Context, ref cas.ObjectRef, body *cas.VerifyingReader) error {
	content, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	ctx = context.WithoutCancel(ctx)
	time.AfterFunc(2*time.Second, func() {
		again := cas.NewVerifyingReader(bytes.NewReader(content), ref.Digest, int64(len(content)))
		_ = s.ObjectStore.Put(ctx, ref, again) // an error is one more loss
	})
	return nil
}

// trustingIndex takes a condemned blob for a live one, so an upload of its bytes does not
// rescue it.
type trustingIndex struct{ wiring.Index }

func (x trustingIndex) Touch(ctx context.Context, d cas.Digest) (cas.Blob, error) {
	b, err := x.Index.Touch(ctx, d)
	if b.State == cas.StateCondemned {
		b.State = cas.StateLive
	}
	return b, err
}

// hastyCollection removes the objects of condemned blobs before it says so in their rows.
// An upload in between rescues a blob whose object goes.
type hastyCollection struct{ wiring.Index }

func (x hastyCollection) StartDeleting(ctx context.Context, b collector.Batch) ([]collector.Object, error) {
	due, err := x.Due(ctx, collector.DueQuery{Grace: b.Grace, Largest: b.Limit})
	select {
	case <-ctx.Done():
	case <-time.After(500 * time.Millisecond): // a busy machine
	}
	return due.Largest, err
}

func (x hastyCollection) FinishDeleting(ctx context.Context, refs ...cas.ObjectRef) error {
	if _, err := x.Index.StartDeleting(ctx, collector.Batch{Limit: 1000}); err != nil {
		return err
	}
	return x.Index.FinishDeleting(ctx, refs...)
}

// forgetfulLedger forgets the attempts to upload whose outcome is not known. The next
// attempt then doesn't look for their files.
type forgetfulLedger struct{ wiring.Index }

func (x forgetfulLedger) Change(ctx context.Context, t ledger.Transition) (ledger.Copy, bool, error) {
	c, done, err := x.Index.Change(ctx, t)
	return forgotten(c), done, err
}

func (x forgetfulLedger) Copy(ctx context.Context, k ledger.Key) (ledger.Copy, error) {
	c, err := x.Index.Copy(ctx, k)
	return forgotten(c), err
}

func (x forgetfulLedger) DueCopies(ctx context.Context, accounts []string, limit int) ([]ledger.Copy, error) {
	all, err := x.Index.DueCopies(ctx, accounts, limit)
	for i := range all {
		all[i] = forgotten(all[i])
	}
	return all, err
}

func forgotten(c ledger.Copy) ledger.Copy {
	c.Strays, c.LookAt = nil, time.Time{}
	return c
}

// lazyLedger names no copies, so none is deleted with its blob.
type lazyLedger struct{ wiring.Index }

func (lazyLedger) Copies(context.Context, cas.Digest) ([]ledger.Copy, error) { return nil, nil }
