package castest

import (
	"context"
	"sync"

	"casgate/cas"
)

// Op names a method of an object store.
type Op string

// The methods for which a hook can inject faults.
const (
	OpPut    Op = "put"
	OpOpen   Op = "open"
	OpStat   Op = "stat"
	OpDelete Op = "delete"
	OpCheck  Op = "check"
)

// Fault is a hook's result. The zero value injects no fault. If Err is set, the caller
// gets it. Applied chooses between the two outcomes of a failed write: not applied, or
// applied without its acknowledgement.
type Fault struct {
	Err     error
	Applied bool
}

// Faulty wraps an object store and calls a hook before every method. The hook may block,
// so that a test can stop a call at a chosen point.
type Faulty struct {
	cas.ObjectStore
	mu   sync.Mutex
	hook func(op Op, ref cas.ObjectRef) Fault
}

var _ cas.ObjectStore = (*Faulty)(nil)

// NewFaulty wraps s without a hook.
func NewFaulty(s cas.ObjectStore) *Faulty { return &Faulty{ObjectStore: s} }

// SetHook replaces the hook; nil removes it.
func (f *Faulty) SetHook(hook func(op Op, ref cas.ObjectRef) Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hook = hook
}

func (f *Faulty) ask(op Op, ref cas.ObjectRef) Fault {
	f.mu.Lock()
	hook := f.hook
	f.mu.Unlock()
	if hook == nil {
		return Fault{}
	}
	return hook(op, ref)
}

// Put implements cas.ObjectStore.
func (f *Faulty) Put(ctx context.Context, ref cas.ObjectRef, body *cas.VerifyingReader) error {
	fault := f.ask(OpPut, ref)
	if fault.Err != nil && !fault.Applied {
		return fault.Err
	}
	if err := f.ObjectStore.Put(ctx, ref, body); err != nil {
		return err
	}
	return fault.Err
}

// Open implements cas.ObjectStore.
func (f *Faulty) Open(ctx context.Context, ref cas.ObjectRef, offset, length int64) (cas.Object, error) {
	if fault := f.ask(OpOpen, ref); fault.Err != nil {
		return cas.Object{}, fault.Err
	}
	return f.ObjectStore.Open(ctx, ref, offset, length)
}

// Stat implements cas.ObjectStore.
func (f *Faulty) Stat(ctx context.Context, ref cas.ObjectRef) (cas.ObjectStat, error) {
	if fault := f.ask(OpStat, ref); fault.Err != nil {
		return cas.ObjectStat{}, fault.Err
	}
	return f.ObjectStore.Stat(ctx, ref)
}

// Delete implements cas.ObjectStore.
func (f *Faulty) Delete(ctx context.Context, ref cas.ObjectRef) error {
	fault := f.ask(OpDelete, ref)
	if fault.Err != nil && !fault.Applied {
		return fault.Err
	}
	if err := f.ObjectStore.Delete(ctx, ref); err != nil {
		return err
	}
	return fault.Err
}

// Check implements cas.ObjectStore.
func (f *Faulty) Check(ctx context.Context) error {
	if fault := f.ask(OpCheck, cas.ObjectRef{}); fault.Err != nil {
		return fault.Err
	}
	return f.ObjectStore.Check(ctx)
}
