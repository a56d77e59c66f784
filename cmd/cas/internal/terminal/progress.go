package terminal

import (
	"fmt"
	"io"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

// Progress shows how far a command is: bars if standard error is a terminal, and
// always a line for each finished part. It writes nothing to standard output.
type Progress struct {
	std   Streams
	quiet bool
	bars  *mpb.Progress // nil: there are none
}

// ProgressOptions are the options of a Progress.
type ProgressOptions struct {
	Quiet  bool // no bars and no notes
	NoBars bool // notes only
}

// NewProgress starts to show progress. The caller must Close it.
func NewProgress(std Streams, o ProgressOptions) *Progress {
	p := &Progress{std: std, quiet: o.Quiet}
	if !o.Quiet && !o.NoBars && IsTerminal(std.Err) {
		p.bars = mpb.New(mpb.WithOutput(std.Err))
	}
	return p
}

// Close removes the bars.
func (p *Progress) Close() {
	if p.bars != nil {
		p.bars.Shutdown()
	}
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

// Transfer describes a bar for bytes that are read.
type Transfer struct {
	Verb string // such as sending
	Name string // of the thing transferred
	From int64  // bytes that an earlier attempt has transferred
	Size int64  // in bytes; below 0: not known
}

// Reader returns a reader that moves a bar as it is read. Closing it removes the bar
// and closes r.
func (p *Progress) Reader(r io.ReadCloser, t Transfer) io.ReadCloser {
	if p.bars == nil {
		return r
	}
	options := []mpb.BarOption{
		mpb.PrependDecorators(label(t.Verb, t.Name, 40)),
		mpb.AppendDecorators(decor.CurrentKibiByte("% .1f"), decor.AverageSpeed(decor.SizeB1024(0), " % .1f")),
		mpb.BarRemoveOnComplete(),
	}
	var bar *mpb.Bar
	if t.Size < 0 {
		bar = p.bars.New(0, mpb.SpinnerStyle(), options...)
	} else {
		bar = p.bars.New(max(t.Size, 1), mpb.BarStyle(), options...)
	}
	bar.SetRefill(t.From)
	bar.SetCurrent(t.From)
	return &barReader{r, bar}
}

// barReader moves a bar as it is read, and removes the bar when it is closed.
type barReader struct {
	io.ReadCloser
	bar *mpb.Bar
}

func (b *barReader) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.bar.IncrBy(n)
	return n, err
}

func (b *barReader) Close() error {
	b.bar.Abort(true)
	return b.ReadCloser.Close()
}

// Waiting shows a spinner until the returned function is called.
func (p *Progress) Waiting(verb, name string) (done func()) {
	if p.bars == nil {
		return func() {}
	}
	bar := p.bars.New(0, mpb.SpinnerStyle(),
		mpb.PrependDecorators(label(verb, name, 60)),
		mpb.AppendDecorators(decor.Elapsed(decor.ET_STYLE_GO)),
		mpb.BarRemoveOnComplete(),
	)
	return func() { bar.Abort(true) }
}

// label names the bar, with at most `most` characters of the name.
func label(verb, name string, most int) decor.Decorator {
	return decor.Name(fmt.Sprintf("%-8s %s ", verb, Shorten(Printable(name), most)))
}

// Counter is a bar that counts things.
type Counter struct {
	bar *mpb.Bar // nil: none is shown
}

// Counting shows a counter: a bar with an estimate if the total is known, which is
// then above 0. Its text is asked for again and again, and must be safe for concurrent
// use.
func (p *Progress) Counting(verb string, total int64, text func() string) Counter {
	if p.bars == nil {
		return Counter{}
	}
	beside := decor.Any(func(decor.Statistics) string { return "  " + text() })
	if total <= 0 {
		return Counter{p.bars.New(0, mpb.SpinnerStyle(),
			mpb.PrependDecorators(decor.Name(verb+" "), decor.CurrentNoUnit("%d ")),
			mpb.AppendDecorators(decor.Elapsed(decor.ET_STYLE_GO), beside),
			mpb.BarRemoveOnComplete())}
	}
	return Counter{p.bars.New(total, mpb.BarStyle(),
		mpb.PrependDecorators(decor.Name(verb+" "), decor.CountersNoUnit("%d / %d ")),
		mpb.AppendDecorators(decor.Percentage(), decor.Name("  "), decor.AverageETA(decor.ET_STYLE_GO), decor.Name(" left"), beside),
		mpb.BarRemoveOnComplete())}
}

// Set moves the counter to n.
func (c Counter) Set(n int64) {
	if c.bar != nil {
		c.bar.SetCurrent(n)
	}
}

// Done removes the counter.
func (c Counter) Done() {
	if c.bar != nil {
		c.bar.Abort(true)
	}
}
