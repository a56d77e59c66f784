package terminal

import (
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

// Progress shows how far a command is: bars if standard error is a terminal that can move
// its cursor, and always a line for each finished part. It writes nothing to standard output.
type Progress struct {
	std   Streams
	quiet bool
	bars  *mpb.Progress // nil: there are none

	mu      sync.Mutex
	running map[*bar]bool // nil after Close
}

// ProgressOptions are the options of a Progress.
type ProgressOptions struct {
	Quiet  bool // no bars and no notes
	NoBars bool // notes only
}

// NewProgress starts to show progress. The caller must Close it.
func NewProgress(std Streams, o ProgressOptions) *Progress {
	p := &Progress{std: std, quiet: o.Quiet, running: map[*bar]bool{}}
	if !o.Quiet && !o.NoBars && IsTerminal(std.Err) && !isDumb() {
		p.bars = mpb.New(mpb.WithOutput(std.Err))
	}
	return p
}

// Close removes the bars.
func (p *Progress) Close() {
	if p.bars == nil {
		return
	}
	p.mu.Lock()
	running := p.running
	p.running = nil
	p.mu.Unlock()
	for bar := range running {
		p.remove(bar)
	}
	// Wait draws once more, without them. Shutdown would leave them on the screen.
	p.bars.Wait()
}

// HasBars reports whether bars are shown.
func (p *Progress) HasBars() bool { return p.bars != nil }

// Streams are the standard streams themselves. Only bytes that are no lines go there;
// lines go to Stdout and Stderr.
func (p *Progress) Streams() Streams { return p.std }

// Stdout is the writer for results: standard output. If it shares a terminal with the
// bars, lines are written above them, so that neither overwrites the other.
func (p *Progress) Stdout() io.Writer {
	if p.bars != nil && IsTerminal(p.std.Out) {
		return aboveBars{p.bars, p.std.Out}
	}
	return p.std.Out
}

// Stderr is the writer for errors: standard error, above the bars.
func (p *Progress) Stderr() io.Writer {
	if p.bars != nil {
		return aboveBars{p.bars, p.std.Err}
	}
	return p.std.Err
}

// aboveBars writes lines above the bars. Once the bars have ended it writes straight
// to the terminal.
type aboveBars struct {
	bars     *mpb.Progress
	terminal io.Writer
}

func (w aboveBars) Write(p []byte) (int, error) {
	if n, err := w.bars.Write(p); err == nil {
		return n, nil
	}
	return w.terminal.Write(p)
}

// Note writes a line to standard error, unless the command is quiet.
func (p *Progress) Note(format string, args ...any) {
	if !p.quiet {
		fmt.Fprintf(p.Stderr(), format+"\n", args...)
	}
}

// barDelay is how long something takes before it gets a bar. To remove a bar takes until the
// screen is drawn again: many short things would wait for that, one by one.
const barDelay = 100 * time.Millisecond

// bar is a bar that appears after barDelay.
type bar struct {
	timer *time.Timer
	shown *mpb.Bar // nil: not yet; guarded by the mutex of the Progress
}

// add shows a bar, after barDelay. Its line is asked for again and again. It returns nil
// after Close.
func (p *Progress) add(line func(width int) string) *bar {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running == nil {
		return nil
	}
	b := new(bar)
	b.timer = time.AfterFunc(barDelay, func() { p.show(b, line) })
	p.running[b] = true
	p.std.Activity.add(1)
	return b
}

// show shows a bar that is not dropped yet.
func (p *Progress) show(b *bar, line func(width int) string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.running[b] {
		return
	}
	// It fails only after the bars have ended, which Close does after it took all of them.
	b.shown, _ = p.bars.Add(0, mpb.BarFillerFunc(func(w io.Writer, s decor.Statistics) error {
		// A ^C that the terminal shows leaves the cursor elsewhere. A full line would wrap on some terminals.
		_, err := io.WriteString(w, "\r"+line(s.AvailableWidth-1))
		return err
	}), mpb.BarFillerTrim())
}

// drop removes a bar. Nil is none.
func (p *Progress) drop(b *bar) {
	if b == nil {
		return
	}
	p.mu.Lock()
	running := p.running[b]
	delete(p.running, b)
	p.mu.Unlock()
	if running {
		p.remove(b)
	}
}

// remove ends a bar that is no longer in running.
func (p *Progress) remove(b *bar) {
	b.timer.Stop()
	if b.shown != nil {
		b.shown.Abort(true)
		b.shown.Wait()
	}
	p.std.Activity.add(-1)
}

// Transfer describes a bar for bytes that are read.
type Transfer struct {
	Verb string // such as sending
	Name string // of the thing transferred
	From int64  // bytes that an earlier attempt has transferred
	Size int64  // in bytes; below 0: not known
}

// Reader returns a reader that moves a bar as it is read. Closing it removes the bar
// and closes r. Without bars, a long transfer says now and then how far it is.
func (p *Progress) Reader(r io.ReadCloser, t Transfer) io.ReadCloser {
	started := time.Now()
	moved := &movingReader{ReadCloser: r, progress: p}
	moved.current.Store(t.From)
	moved.line = func() progressLine {
		return progressLine{
			verb: t.Verb, name: t.Name, from: t.From, current: moved.current.Load(), total: max(0, t.Size),
			elapsed: time.Since(started),
		}
	}
	if p.bars != nil {
		moved.bar = p.add(func(width int) string { return moved.line().render(width) })
	}
	return moved
}

// movingReader moves a bar as it is read, and removes the bar when it is closed.
type movingReader struct {
	io.ReadCloser
	progress *Progress
	bar      *bar // nil: none is shown
	current  atomic.Int64
	line     func() progressLine
	noted    time.Duration // how long it had taken at the last note
}

func (r *movingReader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	r.current.Add(int64(n))
	if r.progress.bars == nil && !r.progress.quiet {
		r.note()
	}
	return n, err
}

// note says how far the transfer is, after five seconds, and then each time that it has
// taken twice as long.
func (r *movingReader) note() {
	line := r.line()
	if line.elapsed < max(Silence, 2*r.noted) {
		return
	}
	r.noted = line.elapsed
	r.progress.Note("%s %s: %s", line.verb, Printable(line.name), line.figures(Roomy))
}

func (r *movingReader) Close() error {
	r.progress.drop(r.bar)
	return r.ReadCloser.Close()
}

// Waiting says what the command waits for until the returned function is called: on a line
// of its own if there are bars, else after five seconds.
func (p *Progress) Waiting(verb, name string) (done func()) {
	started := time.Now()
	if p.bars != nil {
		bar := p.add(func(width int) string { return waitingLine(verb, name, time.Since(started), width) })
		return func() { p.drop(bar) }
	}
	if p.quiet {
		return func() {}
	}
	p.std.Activity.add(1)
	timer := time.AfterFunc(Silence, func() { p.Note("%s %s: not done after %v, waiting", verb, Printable(name), Silence) })
	return func() {
		timer.Stop()
		p.std.Activity.add(-1)
	}
}

// Counter is a bar that counts things.
type Counter struct {
	progress *Progress
	bar      *bar // nil: none is shown
	current  *atomic.Int64
}

// Counting shows a counter: a bar with an estimate if the total is known, which is
// then above 0. Its text is asked for again and again, and must be safe for concurrent
// use.
func (p *Progress) Counting(verb string, total int64, text func() string) Counter {
	return p.count(progressLine{verb: verb, total: max(0, total), unit: unitThings}, func(int) string { return text() })
}

// CountingShares shows a counter of several things together. Its amounts are shares of the
// work and are not shown. Its text fits to a terminal's width.
func (p *Progress) CountingShares(verb string, total int64, text func(width int) string) Counter {
	return p.count(progressLine{verb: verb, total: max(0, total), unit: unitShares}, text)
}

func (p *Progress) count(line progressLine, text func(width int) string) Counter {
	c := Counter{progress: p, current: new(atomic.Int64)}
	if p.bars == nil {
		return c
	}
	started := time.Now()
	c.bar = p.add(func(width int) string {
		line := line
		line.current, line.beside, line.elapsed = c.current.Load(), text(width), time.Since(started)
		return line.render(width)
	})
	return c
}

// Set moves the counter to n.
func (c Counter) Set(n int64) { c.current.Store(n) }

// Add moves the counter by n.
func (c Counter) Add(n int64) { c.current.Add(n) }

// Done removes the counter.
func (c Counter) Done() { c.progress.drop(c.bar) }
