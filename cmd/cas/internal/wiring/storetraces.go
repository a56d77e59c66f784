package wiring

import (
	"context"

	"casgate/cas"
	"casgate/cas/tracing"
)

// tracedStore makes spans of the calls of an object store.
type tracedStore struct{ cas.ObjectStore }

// TraceStore returns the store with a span of each call for an object. Without traces it
// returns the store itself.
func TraceStore(objects cas.ObjectStore, t *Traces) cas.ObjectStore {
	if t.TracerProvider == nil {
		return objects
	}
	return tracedStore{objects}
}

func end(ctx context.Context, span tracing.Span, err error) {
	if err != nil {
		span.Fail(storeOutcome(ctx, err))
	}
	span.End()
}

// Put implements cas.ObjectStore.
func (s tracedStore) Put(ctx context.Context, ref cas.ObjectRef, body *cas.VerifyingReader) error {
	ctx, span := tracing.Call(ctx, "store put")
	err := s.ObjectStore.Put(ctx, ref, body)
	end(ctx, span, err)
	return err
}

// Open implements cas.ObjectStore. The span ends when the first byte can be read.
func (s tracedStore) Open(ctx context.Context, ref cas.ObjectRef, offset, length int64) (cas.Object, error) {
	ctx, span := tracing.Call(ctx, "store open")
	object, err := s.ObjectStore.Open(ctx, ref, offset, length)
	end(ctx, span, err)
	return object, err
}

// Stat implements cas.ObjectStore.
func (s tracedStore) Stat(ctx context.Context, ref cas.ObjectRef) (cas.ObjectStat, error) {
	ctx, span := tracing.Call(ctx, "store stat")
	stat, err := s.ObjectStore.Stat(ctx, ref)
	end(ctx, span, err)
	return stat, err
}

// Delete implements cas.ObjectStore.
func (s tracedStore) Delete(ctx context.Context, ref cas.ObjectRef) error {
	ctx, span := tracing.Call(ctx, "store delete")
	err := s.ObjectStore.Delete(ctx, ref)
	end(ctx, span, err)
	return err
}
