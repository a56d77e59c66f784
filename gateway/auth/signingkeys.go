package auth

import (
	"context"
	"fmt"
	"sync"
	"time"

	"casgate/cas/access"
)

// keyRing keeps the keys that sign hash URLs.
type keyRing struct {
	index Index
	mu    sync.Mutex
	keys  []access.SigningKey // newest first
	read  time.Time
	tried time.Time // when the index last failed to return them
	// made is called after the first key was made here.
	made func(id string, start time.Time)
}

const (
	// keysFresh is how long keys are trusted without asking the index: a retired key
	// is refused by every gateway within that time.
	keysFresh = 30 * time.Second
	// keysAgain is how soon an unknown key id makes the gateway look again.
	keysAgain = time.Second
	// keysRetry is how long the index is left alone after it failed to answer.
	keysRetry = 5 * time.Second
)

func newKeyRing(index Index, made func(id string, start time.Time)) *keyRing {
	return &keyRing{index: index, made: made}
}

// signing returns the newest key, and makes the first one. Two gateways that do so at
// the same time make two keys, and both are good.
func (k *keyRing) signing(ctx context.Context) (access.SigningKey, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.refresh(ctx, keysFresh); err != nil && len(k.keys) == 0 {
		return access.SigningKey{}, err
	}
	if len(k.keys) == 0 {
		key, start := access.NewSigningKey(), time.Now()
		if err := k.index.AddSigningKey(ctx, key); err != nil {
			return access.SigningKey{}, err
		}
		k.made(key.ID, start)
		if err := k.refresh(ctx, 0); err != nil {
			return access.SigningKey{}, err
		}
	}
	return k.keys[0], nil
}

// verify checks a signature by the key it names.
func (k *keyRing) verify(ctx context.Context, s access.Signature) error {
	key, err := k.find(ctx, s.KeyID)
	if err != nil {
		return err
	}
	return s.Verify(key, time.Now())
}

func (k *keyRing) find(ctx context.Context, id string) (access.SigningKey, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, age := range []time.Duration{keysFresh, keysAgain} {
		// Keys known already go on while the index is down.
		if err := k.refresh(ctx, age); err != nil && len(k.keys) == 0 {
			return access.SigningKey{}, err
		}
		for _, key := range k.keys {
			if key.ID == id {
				return key, nil
			}
		}
	}
	return access.SigningKey{}, fmt.Errorf("%w: its key is unknown or retired; ask for a new URL", access.ErrBadSignature)
}

// refresh reads the keys again if they are older than age. The caller holds mu.
func (k *keyRing) refresh(ctx context.Context, age time.Duration) error {
	now := time.Now()
	// While the index hangs, known keys are not read again with each request.
	if now.Sub(k.read) < age || len(k.keys) > 0 && now.Sub(k.tried) < keysRetry {
		return nil
	}
	keys, err := k.index.SigningKeys(ctx)
	if err != nil {
		if ctx.Err() == nil { // a caller that left says nothing of the index
			k.tried = time.Now()
		}
		return err
	}
	k.keys, k.read = keys, now
	return nil
}
