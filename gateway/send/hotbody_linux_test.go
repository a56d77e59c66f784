package send

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"casgate/cas"
	"casgate/cas/castest"
)

// newContent returns n bytes in memory with their blob.
func newContent(n int) *cas.Content {
	b := make([]byte, n)
	var seed [32]byte
	binary.LittleEndian.PutUint64(seed[:], rand.Uint64())
	_, _ = rand.NewChaCha8(seed).Read(b) // never fails
	return &cas.Content{Blob: cas.Blob{Digest: cas.DigestOf(b), Size: int64(n)}, Length: int64(n), Bytes: b}
}

// makeHot makes a body hot.
func makeHot(t *testing.T, h *hotBodies, content *cas.Content) *hotBody {
	t.Helper()
	for range hotUses {
		h.get(content.Blob.Digest, content.Bytes)
	}
	body := h.get(content.Blob.Digest, content.Bytes)
	if body == nil {
		t.Fatal("the body is not hot")
	}
	return body
}

func TestHotBodiesOverHTTP(t *testing.T) {
	t.Parallel()
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln := Listener(tcp, castest.WaitLimit).(listener)
	contents := map[string]*cas.Content{}
	for _, n := range []int{100, minHotBody - 1, minHotBody, 64<<10 + 1, writeChunk, writeChunk + 1, 1<<20 + 7} {
		contents[fmt.Sprintf("/%d", n)] = newContent(n)
	}
	server := &http.Server{ConnContext: ConnContext, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := Answer{Status: http.StatusOK, Content: contents[r.URL.Path], Header: NewHeader(Field{Name: "Etag", Value: `"` + r.URL.Path + `"`})}
		if err := Blob(r.Context(), w, answer); err != nil {
			t.Error(err)
		}
	})}
	served := make(chan error, 1)
	go func() { served <- server.Serve(ln) }()
	t.Cleanup(func() {
		server.Close()
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	client := &http.Client{Transport: &http.Transport{MaxConnsPerHost: 1}} // so answers follow each other
	defer client.CloseIdleConnections()
	for range hotUses + 3 {
		for path, content := range contents {
			response, err := client.Get("http://" + tcp.Addr().String() + path)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(response.Body)
			response.Body.Close()
			if err != nil || !bytes.Equal(got, content.Bytes) {
				t.Fatalf("%s: %d bytes, %v", path, len(got), err)
			}
			if tag := response.Header.Get("Etag"); tag != `"`+path+`"` || response.ContentLength != content.Length {
				t.Errorf("%s: the header has the tag %s and the length %d", path, tag, response.ContentLength)
			}
		}
	}
	for path, content := range contents {
		ln.hot.mu.RLock()
		_, isHot := ln.hot.bodies[content.Blob.Digest]
		ln.hot.mu.RUnlock()
		if isHot != (len(content.Bytes) >= minHotBody) {
			t.Errorf("%s: hot is %v", path, isHot)
		}
	}
}

// answerTo makes a connection whose client has a small buffer, and returns it with the client.
func answerTo(t *testing.T, timeout time.Duration) (*connection, net.Conn) {
	t.Helper()
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln := Listener(tcp, timeout)
	t.Cleanup(func() { ln.Close() })
	client, err := net.Dial("tcp", tcp.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	if err := client.(*net.TCPConn).SetReadBuffer(64 << 10); err != nil {
		t.Fatal(err)
	}
	conn, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	c := conn.(*connection)
	if err := c.halfCloser.(*net.TCPConn).SetWriteBuffer(64 << 10); err != nil {
		t.Fatal(err)
	}
	return c, client
}

// answer writes an announced answer, as net/http does.
func answer(c *connection, content *cas.Content) error {
	c.announce(content, NewHeader(Field{Name: "Etag", Value: "x"}))
	const header = "HTTP/1.1 200 OK\r\nDate: now\r\n\r\n"
	if _, err := c.Write(append([]byte(header), content.Bytes[:100]...)); err != nil {
		return err
	}
	_, err := c.Write(content.Bytes[100:])
	return err
}

const wantedHeader = "HTTP/1.1 200 OK\r\nDate: now\r\nEtag: x\r\n\r\n"

// A body that is dropped while a client still reads it keeps its bytes.
func TestHotBodyOutlivesItsPlace(t *testing.T) {
	t.Parallel()
	c, client := answerTo(t, castest.WaitLimit)
	content := newContent(maxHotBytes / 8)
	body := makeHot(t, c.hot, content)
	ended := make(chan error, 1)
	go func() { ended <- answer(c, content) }()
	got := make([]byte, len(wantedHeader)+len(content.Bytes))
	if _, err := io.ReadFull(client, got[:len(wantedHeader)+1000]); err != nil {
		t.Fatal(err)
	}
	c.hot.close()
	body.release() // the test's use
	if _, err := io.ReadFull(client, got[len(wantedHeader)+1000:]); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if string(got) != wantedHeader+string(content.Bytes) {
		t.Error("other bytes came")
	}
	if _, err := body.file.Stat(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("the body is still there after its last use: %v", err)
	}
}

// A client that reads nothing of a hot body is given up.
func TestSlowReaderOfAHotBodyIsGivenUp(t *testing.T) {
	t.Parallel()
	c, _ := answerTo(t, 50*time.Millisecond)
	content := newContent(maxHotBytes / 2)
	makeHot(t, c.hot, content)
	if err := answer(c, content); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%v; want a deadline that passed", err)
	}
}

// What the kernel does not send comes from memory.
func TestHotBodyThatIsRefused(t *testing.T) {
	t.Parallel()
	c, client := answerTo(t, castest.WaitLimit)
	content := newContent(3*writeChunk + 1)
	body := makeHot(t, c.hot, content)
	if err := body.file.Truncate(writeChunk + 10); err != nil { // the next sendfile there returns EINVAL
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- answer(c, content) }()
	got := make([]byte, len(wantedHeader)+len(content.Bytes))
	if _, err := io.ReadFull(client, got); err != nil || string(got) != wantedHeader+string(content.Bytes) {
		t.Errorf("other bytes came, %v", err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// The bounds hold, whatever is sent; unused bodies make room, and go after a while.
func TestHotBodiesAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := &hotBodies{}
		defer h.close()
		check := func() {
			t.Helper()
			h.mu.RLock()
			defer h.mu.RUnlock()
			sum := int64(0)
			for _, entry := range h.bodies {
				sum += entry.body.size
			}
			if sum != h.bytes || sum > maxHotBytes || len(h.bodies) > maxHotBodies {
				t.Fatalf("%d bodies have %d bytes, counted %d", len(h.bodies), sum, h.bytes)
			}
		}
		var contents []*cas.Content
		for _, size := range []int{minHotBody, maxHotBytes / 20} {
			for range maxHotBodies/8 + 20 {
				contents = append(contents, newContent(size))
			}
		}
		for _, content := range contents {
			for range 2 * hotUses {
				if body := h.get(content.Blob.Digest, content.Bytes); body != nil {
					body.release()
				}
				check()
			}
			time.Sleep(hotPause) // of the bubble's clock
		}
		last := contents[len(contents)-1]
		if body := h.get(last.Blob.Digest, last.Bytes); body == nil {
			t.Error("the body that was sent last is not hot")
		} else if body.release(); body.users.Load() != 1 {
			t.Errorf("the body has %d users", body.users.Load())
		}
		time.Sleep(3 * hotIdle)
		synctest.Wait()
		if len(h.bodies) > 0 || h.bytes != 0 {
			t.Errorf("%d unused bodies of %d bytes are still there", len(h.bodies), h.bytes)
		}
	})
}

// Bodies that are used all the time are not displaced, and others only so often.
func TestHotBodiesAreNotDisplacedAllTheTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := &hotBodies{}
		defer h.close()
		var contents []*cas.Content
		for range 40 {
			contents = append(contents, newContent(maxHotBytes/20))
		}
		made, last := 0, map[cas.Digest]*hotBody{}
		for range 100 {
			for _, content := range contents {
				body := h.get(content.Blob.Digest, content.Bytes)
				if body == nil {
					continue
				}
				body.release()
				if body != last[content.Blob.Digest] {
					last[content.Blob.Digest] = body
					made++
				}
			}
			time.Sleep(hotPause / 10)
		}
		if most := 20 + 100/10 + 2; made > most {
			t.Errorf("%d bodies became hot; want %d at most", made, most)
		}
	})
}

func TestHotBodiesInParallel(t *testing.T) {
	t.Parallel()
	h := &hotBodies{}
	defer h.close()
	contents := []*cas.Content{newContent(minHotBody), newContent(100_000), newContent(200_000)}
	ctx, cancel := context.WithTimeout(t.Context(), castest.WaitLimit)
	defer cancel()
	done := make(chan error)
	for range 8 {
		go func() {
			hot := 0
			for hot < 1000 && ctx.Err() == nil {
				for _, content := range contents {
					if body := h.get(content.Blob.Digest, content.Bytes); body != nil {
						hot++
						body.release()
						if body.size != content.Length {
							done <- fmt.Errorf("a body of %d bytes has %d", content.Length, body.size)
							return
						}
					}
				}
			}
			done <- ctx.Err()
		}()
	}
	for range 8 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}
