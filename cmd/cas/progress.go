package main

import (
	"fmt"
	"io"
	"os"

	"github.com/dustin/go-humanize"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"
)

// progress shows how transfers get on: bars where standard error is a terminal,
// and a line for each that has ended everywhere. Nothing of it is on standard
// output.
type progress struct {
	std   stdio
	quiet bool
	bars  *mpb.Progress // nil where there are none
}

func newProgress(std stdio, quiet bool) *progress {
	p := &progress{std: std, quiet: quiet}
	if !quiet && isTerminal(std.err) {
		p.bars = mpb.New(mpb.WithOutput(std.err))
	}
	return p
}

// close removes the bars.
func (p *progress) close() {
	if p.bars != nil {
		p.bars.Shutdown()
	}
}

// stdout is where to write results: standard output, by way of the bars where
// both share a terminal, lest they write over one another.
func (p *progress) stdout() io.Writer {
	if p.bars != nil && isTerminal(p.std.out) {
		return aboveBars{p.bars, p.std.out}
	}
	return p.std.out
}

// stderr is where to write errors.
func (p *progress) stderr() io.Writer {
	if p.bars != nil {
		return aboveBars{p.bars, p.std.err}
	}
	return p.std.err
}

// aboveBars writes lines above the bars, or straight to the terminal where the
// bars have given up.
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

// note writes a line to standard error, unless all is to be quiet.
func (p *progress) note(format string, args ...any) {
	if !p.quiet {
		fmt.Fprintf(p.stderr(), format+"\n", args...)
	}
}

// reader shows a bar, from `from` bytes on, until what it returns is closed. A
// size below 0 is one not known.
func (p *progress) reader(r io.ReadCloser, what, name string, from, size int64) io.ReadCloser {
	if p.bars == nil {
		return r
	}
	label := decor.Name(fmt.Sprintf("%-8s %s ", what, shorten(display(name), 40)))
	options := []mpb.BarOption{
		mpb.PrependDecorators(label),
		mpb.AppendDecorators(decor.CurrentKibiByte("% .1f"), decor.AverageSpeed(decor.SizeB1024(0), " % .1f")),
		mpb.BarRemoveOnComplete(),
	}
	var bar *mpb.Bar
	if size < 0 {
		bar = p.bars.New(0, mpb.SpinnerStyle(), options...)
	} else {
		bar = p.bars.New(max(size, 1), mpb.BarStyle(), options...)
	}
	bar.SetRefill(from)
	bar.SetCurrent(from)
	return &barReader{r, bar}
}

// barReader moves a bar on as it is read, and removes it when it is closed.
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

func isTerminal(stream any) bool {
	file, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// shorten cuts a text to at most `most` characters, in its middle.
func shorten(text string, most int) string {
	runes := []rune(text)
	if len(runes) <= most {
		return text
	}
	head := most / 3
	return string(runes[:head]) + "…" + string(runes[len(runes)-(most-head-1):])
}

// sizeText is a size for people, such as 5.0 MiB.
func sizeText(n int64) string { return humanize.IBytes(uint64(max(0, n))) }
