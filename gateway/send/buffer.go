package send

import "sync"

// A CopyBuffer is a pooled buffer for bytes that the kernel can't send by itself.
type CopyBuffer [256 << 10]byte

var buffers = sync.Pool{New: func() any { return new(CopyBuffer) }}

// Buffer takes a buffer from the pool. The caller frees it.
func Buffer() *CopyBuffer { return buffers.Get().(*CopyBuffer) }

// Free puts the buffer back.
func (b *CopyBuffer) Free() { buffers.Put(b) }

// largeBuffer is the buffer of a few large bodies: 64 MiB take a tenth less time with it than
// with a CopyBuffer. Larger ones gain nothing.
type largeBuffer [maxWrite]byte

// maxLarge limits the large buffers in use, and so their memory.
const maxLarge = 16

var (
	largeBuffers = sync.Pool{New: func() any { return new(largeBuffer) }}
	largeInUse   = make(chan struct{}, maxLarge)
)

// bufferFor returns a buffer for a body of so many bytes, which has at least the size of a
// CopyBuffer. The caller frees it.
func bufferFor(length int64) (buffer []byte, free func()) {
	if length >= int64(len(largeBuffer{})) {
		select {
		case largeInUse <- struct{}{}:
			b := largeBuffers.Get().(*largeBuffer)
			return b[:], func() { largeBuffers.Put(b); <-largeInUse }
		default:
		}
	}
	b := Buffer()
	return b[:], b.Free
}
