package terminal

import (
	"io"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"
)

// Many short transfers on a terminal, beside a long one, don't wait for the screen one by one.
func TestShortTransfersDoNotWaitForTheScreen(t *testing.T) {
	t.Parallel()
	screen, stderr, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer screen.Close()
	if err := pty.Setsize(screen, &pty.Winsize{Rows: 24, Cols: 80}); err != nil {
		t.Fatal(err)
	}
	drawn := make(chan struct{})
	go func() {
		defer close(drawn)
		_, _ = io.Copy(io.Discard, screen) // Linux answers EIO at the end
	}()
	p := NewProgress(Streams{Out: io.Discard, Err: stderr}, ProgressOptions{})
	other := p.Waiting("copying", "something else")
	started := time.Now()
	const transfers = 400
	for range transfers {
		r := p.Reader(io.NopCloser(strings.NewReader("some bytes")), Transfer{Verb: "fetching", Name: "short", Size: 10})
		if _, err := io.Copy(io.Discard, r); err != nil {
			t.Fatal(err)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		p.Note("fetched")
	}
	// A wait for each took a minute. Without, all take some milliseconds.
	if took := time.Since(started); took > 15*time.Second {
		t.Errorf("%d short transfers took %v", transfers, took)
	}
	other()
	p.Close()
	stderr.Close()
	<-drawn
}
