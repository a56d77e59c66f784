package s3client

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/iotest"

	"github.com/minio/minio-go/v7"
)

// countingConn counts the writes of a connection.
type countingConn struct {
	net.Conn
	writes *atomic.Int64
}

func (c countingConn) Write(p []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(p)
}

// newCounted returns a client of a server whose requests handle gets, and the number of writes
// to it so far.
func newCounted(t *testing.T, handle func(body []byte)) (*Client, *atomic.Int64) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body) // a body that ends early is compared, or expected
		handle(body)
	}))
	t.Cleanup(server.Close)
	c, err := New(Options{Endpoint: server.URL, Credentials: Credentials{AccessKey: "key", SecretKey: "secret"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	var writes atomic.Int64
	dial := c.transport.DialContext
	c.transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		return countingConn{conn, &writes}, err
	}
	return c, &writes
}

// put uploads a body as package s3store does.
func put(t *testing.T, c *Client, body io.Reader, size int64) error {
	t.Helper()
	ctx, call := c.Begin(t.Context())
	defer call.End()
	_, err := c.Client.PutObject(ctx, "bucket", "key", body, size, minio.PutObjectOptions{
		DisableMultipart: true, DisableContentSha256: true,
		UserMetadata: map[string]string{"x-amz-checksum-sha256": "n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg="},
	})
	return err
}

// A small upload is one write, so that the store need not read twice. A larger one comes whole, too.
func TestSmallUploadIsOneWrite(t *testing.T) {
	t.Parallel()
	var got []byte
	c, writes := newCounted(t, func(body []byte) { got = body })
	for _, size := range []int{1, 4 << 10, smallBody, smallBody + 1, 1 << 20} {
		want := bytes.Repeat([]byte{byte(size), 7, 1}, size)[:size]
		before := writes.Load()
		// The reader has no other method: the body comes in pieces.
		if err := put(t, c, iotest.HalfReader(bytes.NewReader(want)), int64(size)); err != nil {
			t.Fatalf("%d bytes: %v", size, err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%d bytes: the server got %d others", size, len(got))
		}
		if n := writes.Load() - before; size <= smallBody && n != 1 {
			t.Errorf("%d bytes took %d writes, want 1", size, n)
		}
	}
}

// A small body that fails is not sent, and its error comes back. A body of another length than
// declared is refused.
func TestSmallUploadWithoutItsBody(t *testing.T) {
	t.Parallel()
	var requests atomic.Int64
	c, _ := newCounted(t, func([]byte) { requests.Add(1) })
	broken := errors.New("the source broke off")
	if err := put(t, c, io.MultiReader(bytes.NewReader(make([]byte, 50)), iotest.ErrReader(broken)), 100); !errors.Is(err, broken) {
		t.Errorf("a broken body: error %v", err)
	}
	if n := requests.Load(); n != 0 {
		t.Errorf("%d requests were made", n)
	}
	for _, size := range []int64{99, 101} {
		if err := put(t, c, io.MultiReader(bytes.NewReader(make([]byte, 100))), size); err == nil {
			t.Errorf("100 bytes that were declared as %d were taken", size)
		}
	}
}
