// Package send writes the answers that carry a blob's bytes, and bounds how long a
// client may take to read any answer. It knows net/http and cas, and no router.
//
// # Where the bytes are
//
// [Blob] takes one of three ways:
//
//   - In memory (Content.Bytes): one write, see below. This is the hot answer.
//   - In a file on disk (Content.Body is an *os.File; the rest of a large object in a
//     folder, from an offset): sendfile. net/http's own writer
//     hands the file on disk to [net.TCPConn.ReadFrom], and the kernel copies the bytes
//     from the page cache to the socket. No other writer may wrap the file on disk or
//     the socket in between; each layer that does must pass ReadFrom on.
//   - Elsewhere (any other Content.Body): a copy through a pooled buffer, of 1 MiB for a
//     few large bodies. The first
//     piece is read before the status is written, so that a read error there still
//     gets a problem as its answer. A later error breaks the connection off, so that
//     no client takes a part for the whole.
//
// # Why one write
//
// For a small blob, net/http writes what its 4 KiB buffer holds (the header and the
// beginning of the body), and then the rest. That is two system calls, two packets
// and two wake-ups of the client. net/http also keeps the header in a map, which it
// clones and sorts; for ten fields that costs as much as all else the gateway does
// for the request.
//
// So before the handler writes, Blob announces the answer to the connection: the
// length of the body, and the fields of the blob. net/http then writes a short header
// (status line, Date, Content-Type, Content-Length, X-Request-Id) and the body.
// The connection finds the end of that header, adds the announced fields, holds the
// pieces until the answer is whole, and writes it once: by copying up to 16 KiB, and
// above that by a vectored write (writev), which leaves the body where it is.
//
// A body of 32 KiB or more that is sent often gets a second place, a file in memory
// (memfd), and goes from there by sendfile. A write allocates pages for the socket and
// copies the body to them; sendfile only lends the pages that are there. For 64 KiB that
// is 2 µs of about 36, and 14 of 67 in times when the machine's memory is slow. The
// bodies of a listener take 32 MiB at most, besides those that made room for others and that
// answers under way still send, and go when no client asks for them.
//
// Framing, keep-alive and dates stay net/http's.
//
// The answer falls back to the usual way, with all fields in net/http's map, when
// the request did not come by our listener (a test, TLS in front of it), when the body
// is empty or streamed, or when a field is not safe.
//
// # What is checked on both ways
//
// net/http keeps a field's value from ending its line. Fields that go past net/http
// are checked here: a value with CR or LF is not announced, and net/http gets it.
// Both ways send the same fields with the same values, since both take them from one
// [Header]. The tests in package gateway compare the two answers.
//
// # Slow readers
//
// http.Server.WriteTimeout bounds a whole answer. For a large blob that is either too
// short, or no bound at all. So the connection extends its write deadline as it
// goes: a client must take each 256 KiB within the timeout. To save system calls the
// deadline is set again only when an eighth of the timeout has passed; a client
// has at least seven eighths of it. The same holds for sendfile, which is done in
// pieces of 256 KiB. A write has up to 1 MiB, since that takes less time: if the deadline
// passes after 256 KiB of it were taken, the rest has a new deadline. Before a client is given
// up, one more write or sendfile fills what the kernel has not told of yet.
// Each stream of HTTP/2 has deadlines of its own.
package send
