package request

import (
	"encoding/binary"
	"math/rand/v2"

	"github.com/google/uuid"
)

// NewOperationID returns a UUIDv7: unique, and in the order of time. It is a name, not
// a secret, so the runtime's generator, which takes no lock, is good enough.
func NewOperationID() string {
	id, err := uuid.NewV7FromReader(chacha{})
	if err != nil {
		panic(err) // reading chacha can't fail
	}
	return id.String()
}

// chacha reads from math/rand/v2, which is ChaCha8 with a seed from the system.
type chacha struct{}

func (chacha) Read(p []byte) (int, error) {
	for i := 0; i < len(p); i += 8 {
		var word [8]byte
		binary.LittleEndian.PutUint64(word[:], rand.Uint64())
		copy(p[i:], word[:])
	}
	return len(p), nil
}
