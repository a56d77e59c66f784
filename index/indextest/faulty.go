package indextest

import (
	"context"

	"casgate/cas"
)

// The operations that a Faulty asks its hook about.
const (
	OpBlob         = "blob"
	OpTouch        = "touch"
	OpCommit       = "commit"
	OpCondemn      = "condemn"
	OpSuspect      = "suspect"
	OpTrust        = "trust"
	OpSetMediaType = "set media type"
	OpFillName     = "fill name"
	OpMissing      = "missing"
	OpList         = "list"
	OpCheck        = "check"
)

// Hook decides the fate of one call. A nil error lets it pass. With an error the
// caller gets that error; the call is made nevertheless where apply is true, and
// its result thrown away: the reply was lost. These are the two ways in which
// every write can fail. The digest is zero for missing, list and check.
type Hook func(op string, d cas.Digest) (apply bool, err error)

// Faulty is an index whose calls fail as its hook says. To be like a real one,
// the hook's errors wrap cas.ErrIndexUnavailable.
type Faulty struct {
	inner cas.Index
	hook  Hook
}

var (
	_ cas.Index     = (*Faulty)(nil)
	_ cas.Forgetter = (*Faulty)(nil)
)

// NewFaulty wraps an index. The hook is called from the caller's goroutine.
func NewFaulty(inner cas.Index, hook Hook) *Faulty { return &Faulty{inner: inner, hook: hook} }

// fail asks the hook. It makes the call if the hook fails it but applies it.
func (f *Faulty) fail(op string, d cas.Digest, call func()) error {
	apply, err := f.hook(op, d)
	if err != nil && apply {
		call()
	}
	return err
}

// Blob implements cas.Index.
func (f *Faulty) Blob(ctx context.Context, d cas.Digest) (cas.Blob, error) {
	if err := f.fail(OpBlob, d, func() { f.inner.Blob(ctx, d) }); err != nil {
		return cas.Blob{}, err
	}
	return f.inner.Blob(ctx, d)
}

// Touch implements cas.Index.
func (f *Faulty) Touch(ctx context.Context, d cas.Digest) (cas.Blob, error) {
	if err := f.fail(OpTouch, d, func() { f.inner.Touch(ctx, d) }); err != nil {
		return cas.Blob{}, err
	}
	return f.inner.Touch(ctx, d)
}

// Commit implements cas.Index.
func (f *Faulty) Commit(ctx context.Context, b cas.Blob) (row cas.Blob, created bool, err error) {
	if err := f.fail(OpCommit, b.Digest, func() { f.inner.Commit(ctx, b) }); err != nil {
		return cas.Blob{}, false, err
	}
	return f.inner.Commit(ctx, b)
}

// Condemn implements cas.Index.
func (f *Faulty) Condemn(ctx context.Context, d cas.Digest, o cas.CondemnOptions) error {
	if err := f.fail(OpCondemn, d, func() { f.inner.Condemn(ctx, d, o) }); err != nil {
		return err
	}
	return f.inner.Condemn(ctx, d, o)
}

// Suspect implements cas.Index.
func (f *Faulty) Suspect(ctx context.Context, ref cas.ObjectRef) error {
	if err := f.fail(OpSuspect, ref.Digest, func() { f.inner.Suspect(ctx, ref) }); err != nil {
		return err
	}
	return f.inner.Suspect(ctx, ref)
}

// Trust implements cas.Index.
func (f *Faulty) Trust(ctx context.Context, ref cas.ObjectRef) error {
	if err := f.fail(OpTrust, ref.Digest, func() { f.inner.Trust(ctx, ref) }); err != nil {
		return err
	}
	return f.inner.Trust(ctx, ref)
}

// SetMediaType implements cas.Index.
func (f *Faulty) SetMediaType(ctx context.Context, d cas.Digest, from, to string) error {
	if err := f.fail(OpSetMediaType, d, func() { f.inner.SetMediaType(ctx, d, from, to) }); err != nil {
		return err
	}
	return f.inner.SetMediaType(ctx, d, from, to)
}

// FillName implements cas.Index.
func (f *Faulty) FillName(ctx context.Context, d cas.Digest, name string) error {
	if err := f.fail(OpFillName, d, func() { f.inner.FillName(ctx, d, name) }); err != nil {
		return err
	}
	return f.inner.FillName(ctx, d, name)
}

// Missing implements cas.Index.
func (f *Faulty) Missing(ctx context.Context, ds []cas.Digest) ([]cas.Digest, error) {
	if err := f.fail(OpMissing, cas.Digest{}, func() { f.inner.Missing(ctx, ds) }); err != nil {
		return nil, err
	}
	return f.inner.Missing(ctx, ds)
}

// List implements cas.Index.
func (f *Faulty) List(ctx context.Context, q cas.Query) ([]cas.Blob, error) {
	if err := f.fail(OpList, cas.Digest{}, func() { f.inner.List(ctx, q) }); err != nil {
		return nil, err
	}
	return f.inner.List(ctx, q)
}

// Between implements cas.Index. It has the faults of List.
func (f *Faulty) Between(ctx context.Context, first, last cas.Digest, limit int) ([]cas.Blob, error) {
	if err := f.fail(OpList, cas.Digest{}, func() { f.inner.Between(ctx, first, last, limit) }); err != nil {
		return nil, err
	}
	return f.inner.Between(ctx, first, last, limit)
}

// Skip implements cas.Index. It has the faults of List.
func (f *Faulty) Skip(ctx context.Context, after cas.Cursor, n int) (cas.Cursor, error) {
	if err := f.fail(OpList, cas.Digest{}, func() { f.inner.Skip(ctx, after, n) }); err != nil {
		return cas.Cursor{}, err
	}
	return f.inner.Skip(ctx, after, n)
}

// Check implements cas.Index.
func (f *Faulty) Check(ctx context.Context) error {
	if err := f.fail(OpCheck, cas.Digest{}, func() { f.inner.Check(ctx) }); err != nil {
		return err
	}
	return f.inner.Check(ctx)
}

// Forget implements cas.Forgetter if the wrapped index does.
func (f *Faulty) Forget(d cas.Digest) {
	if inner, ok := f.inner.(cas.Forgetter); ok {
		inner.Forget(d)
	}
}
