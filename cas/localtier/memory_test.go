package localtier_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"sync"

	"casgate/cas"
)

// memoryStore is an object store in memory: tests of the tier need no second disk.
type memoryStore struct {
	mu      sync.Mutex
	objects map[cas.ObjectRef][]byte
}

func newMemoryStore() *memoryStore { return &memoryStore{objects: map[cas.ObjectRef][]byte{}} }

func (s *memoryStore) Put(ctx context.Context, ref cas.ObjectRef, body *cas.VerifyingReader) error {
	b, err := io.ReadAll(body)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return err
	}
	s.set(ref, b)
	return nil
}

// set replaces an object by any bytes.
func (s *memoryStore) set(ref cas.ObjectRef, b []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.objects[ref] = b
}

func (s *memoryStore) get(ref cas.ObjectRef) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, ok := s.objects[ref]
	if !ok {
		return nil, fmt.Errorf("%w: %s", cas.ErrObjectMissing, ref.Key())
	}
	return b, nil
}

func (s *memoryStore) Open(ctx context.Context, ref cas.ObjectRef, offset, length int64) (cas.Object, error) {
	b, err := s.get(ref)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return cas.Object{}, err
	}
	size := int64(len(b))
	if offset > size || offset == size && size > 0 {
		return cas.Object{}, cas.ErrRangeNotSatisfiable
	}
	if length < 0 || length > size-offset {
		length = size - offset
	}
	return cas.Object{Body: io.NopCloser(bytes.NewReader(b[offset : offset+length])), Size: size, Version: ref.Key()}, nil
}

func (s *memoryStore) Stat(ctx context.Context, ref cas.ObjectRef) (cas.ObjectStat, error) {
	b, err := s.get(ref)
	if err == nil {
		err = ctx.Err()
	}
	return cas.ObjectStat{Size: int64(len(b))}, err
}

func (s *memoryStore) Delete(ctx context.Context, ref cas.ObjectRef) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.objects, ref)
	return ctx.Err()
}

func (s *memoryStore) Check(ctx context.Context) error { return ctx.Err() }
