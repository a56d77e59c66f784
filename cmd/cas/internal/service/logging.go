package service

import (
	"io"
	"os"
	"sync"
	"time"

	"casgate/cmd/cas/internal/terminal"

	"github.com/rs/zerolog"
	"golang.org/x/term"
)

// NewLogger returns a logger that writes to standard error: readable text on a
// terminal, in colours unless the user wants none, else JSON. Flush writes the lines that are still held back.
func NewLogger(level, format string, std terminal.Streams) (log zerolog.Logger, flush func()) {
	zerolog.TimeFieldFormat = time.RFC3339Nano // package time formats it faster than other layouts
	parsed, err := zerolog.ParseLevel(level)
	if err != nil {
		parsed = zerolog.InfoLevel // kong has checked the level
	}
	file, isFile := std.Err.(*os.File)
	isTerminal := isFile && term.IsTerminal(int(file.Fd()))
	if format == "console" || format == "" && isTerminal {
		console := zerolog.ConsoleWriter{Out: std.Err, TimeFormat: "15:04:05.000", NoColor: !isTerminal || !terminal.WantsColors()}
		return zerolog.New(zerolog.SyncWriter(console)).Level(parsed).With().Timestamp().Logger(), func() {}
	}
	batch := &logBatch{out: std.Err}
	return zerolog.New(batch).Level(parsed).With().Timestamp().Logger(), batch.flush
}

const (
	// logDelay is how long a line may be held back, and logBatchSize how many bytes.
	logDelay     = 100 * time.Millisecond
	logBatchSize = 32 << 10
)

// logBatch collects lines and writes them together, because one write for each request
// is a tenth of the cost of a small read. Warnings and errors are written at once, with
// the lines before them.
type logBatch struct {
	out io.Writer

	mu      sync.Mutex
	lines   []byte
	pending bool // a flush is coming
}

// Write implements io.Writer, for lines without a level.
func (b *logBatch) Write(line []byte) (int, error) { return b.WriteLevel(zerolog.NoLevel, line) }

// WriteLevel implements zerolog.LevelWriter.
func (b *logBatch) WriteLevel(level zerolog.Level, line []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lines = append(b.lines, line...)
	switch {
	case level >= zerolog.WarnLevel || len(b.lines) >= logBatchSize:
		if err := b.write(); err != nil {
			return 0, err
		}
	case !b.pending:
		b.pending = true
		time.AfterFunc(logDelay, b.flush)
	}
	return len(line), nil
}

// write writes the lines. The caller holds mu.
func (b *logBatch) write() error {
	if len(b.lines) == 0 {
		return nil
	}
	_, err := b.out.Write(b.lines)
	b.lines = b.lines[:0]
	return err
}

func (b *logBatch) flush() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.pending = false
	_ = b.write() // no place is left to report the error
}
