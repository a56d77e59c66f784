package main

import (
	"encoding/binary"
	"math/rand/v2"

	"casgate/cas"
)

// content is a blob that clients store, read and delete.
type content struct {
	bytes  []byte
	digest cas.Digest
}

// String returns the digest, the subject of events about the blob.
func (c content) String() string { return c.digest.String() }

// sizes are those of the blobs of a round, in bytes. They are on both sides of the limits
// for blobs that are kept in memory and for uploads that are spooled to disk.
var sizes = []int{1, 5_000, 90_000, 250_000, 300_000, 1 << 20, 2 << 20}

// roundContents returns the blobs of a round: the same for the same seed.
func roundContents(seed uint64, round, n int) []content {
	var contents []content
	for i := range n {
		var key [32]byte
		binary.LittleEndian.PutUint64(key[:], seed)
		binary.LittleEndian.PutUint64(key[8:], uint64(round))
		binary.LittleEndian.PutUint64(key[16:], uint64(i))
		size := sizes[i%len(sizes)]
		b := make([]byte, size+16) // the shortest must differ, too
		_, _ = rand.NewChaCha8(key).Read(b)
		contents = append(contents, content{b, cas.DigestOf(b)})
	}
	return contents
}
