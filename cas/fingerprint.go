package cas

import (
	"hash"
	"io"
	"math/rand/v2"

	"github.com/zeebo/xxh3"
)

// fingerprint is a keyed checksum of verified bytes: 128 bits of XXH3. It is ten times
// faster than SHA-256. Damage gives the bytes another fingerprint, except for one case in
// 2^128. It is no protection from a writer that knows the key.
type fingerprint [16]byte

// fingerprintKey is a new one in each process, so that no writer knows it.
var fingerprintKey = rand.Uint64()

// fingerprintHash computes the fingerprint of the bytes that are written to it.
type fingerprintHash struct{ *xxh3.Hasher }

var _ hash.Hash = fingerprintHash{}

func newFingerprintHash() fingerprintHash { return fingerprintHash{xxh3.NewSeed(fingerprintKey)} }

// Size implements hash.Hash.
func (h fingerprintHash) Size() int { return len(fingerprint{}) }

// Sum implements hash.Hash. The hasher's own Sum has 64 bits only.
func (h fingerprintHash) Sum(b []byte) []byte {
	sum := h.sum()
	return append(b, sum[:]...)
}

func (h fingerprintHash) sum() fingerprint { return h.Sum128().Bytes() }

// newFingerprintReader is NewVerifyingReader for bytes that had digest want when they were
// verified, and fingerprint known. It compares the fingerprint only.
func newFingerprintReader(src io.Reader, want Digest, size int64, known fingerprint) *VerifyingReader {
	return &VerifyingReader{src: src, want: want, size: size, hash: newFingerprintHash(), sum: known[:]}
}
