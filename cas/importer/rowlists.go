package importer

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
)

// CSV reads a list of comma-separated values whose first line names the columns. A
// malformed line is a RowError. \N, as Postgres writes null, means no value.
func CSV(r io.Reader, m Mapping) Rows {
	return func(yield func(Row, error) bool) {
		records := csv.NewReader(skipMark(r))
		records.ReuseRecord = true
		header, err := records.Read()
		if err != nil {
			yield(Row{}, fmt.Errorf("read the line that names the columns: %w", noEOF(err)))
			return
		}
		columns, err := m.Match(header)
		if err != nil {
			yield(Row{}, err)
			return
		}
		for {
			record, err := records.Read()
			if err == io.EOF {
				return
			}
			var row Row
			if wrong, ok := errors.AsType[*csv.ParseError](err); ok {
				err = &RowError{fmt.Sprintf("line %d", wrong.StartLine), wrong.Err}
			} else if err != nil {
				yield(Row{}, fmt.Errorf("read the list: %w", err))
				return
			} else {
				for _, c := range columns {
					if value := record[c.Index]; value != `\N` {
						row.Set(c.Field, value)
					}
				}
			}
			if !yield(row, err) {
				return
			}
		}
	}
}

func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// skipMark skips the byte order mark that some programs write before UTF-8.
func skipMark(r io.Reader) io.Reader {
	b := bufio.NewReader(r)
	if start, _ := b.Peek(3); string(start) == "\ufeff" { // the reader reports the error of a shorter list
		_, _ = b.Discard(3) // it was peeked at
	}
	return b
}

const (
	// longestLine limits a line of JSON, in bytes.
	longestLine = 16 << 20
	// lookAhead is the number of objects that are read to find all columns, since an
	// object may leave out columns without a value.
	lookAhead = 100
)

// JSONLines reads a list with a JSON object in each line. A malformed line is a
// RowError.
func JSONLines(r io.Reader, m Mapping) Rows {
	return func(yield func(Row, error) bool) {
		lines := bufio.NewScanner(skipMark(r))
		lines.Buffer(make([]byte, 64<<10), longestLine)
		number := 0
		var columns []Column // nil until they are known
		var ahead []jsonLine
		flush := func() (more bool) {
			if columns == nil {
				var err error
				if columns, err = m.Match(columnsOf(ahead)); err != nil {
					yield(Row{}, err)
					return false
				}
			}
			for _, line := range ahead {
				if row, err := line.row(columns); !yield(row, err) {
					return false
				}
			}
			ahead = ahead[:0]
			return true
		}
		for lines.Scan() {
			number++
			if len(bytes.TrimSpace(lines.Bytes())) == 0 {
				continue
			}
			line := jsonLine{number: number}
			line.err = json.Unmarshal(lines.Bytes(), &line.object)
			ahead = append(ahead, line)
			if (columns != nil || len(ahead) == lookAhead) && !flush() {
				return
			}
		}
		if len(ahead) > 0 && !flush() {
			return
		}
		if err := lines.Err(); err != nil {
			yield(Row{}, fmt.Errorf("read the list after line %d: %w", number, err))
		}
	}
}

// jsonLine is an object of a list, or the error of its line.
type jsonLine struct {
	number int
	object map[string]json.RawMessage
	err    error
}

// columnsOf returns all names in some objects, sorted.
func columnsOf(lines []jsonLine) []string {
	var names []string
	for _, line := range lines {
		for name := range line.object {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func (l jsonLine) row(columns []Column) (Row, error) {
	where := fmt.Sprintf("line %d", l.number)
	if l.err != nil {
		return Row{}, &RowError{where, l.err}
	}
	var row Row
	for _, c := range columns {
		value := l.object[c.Name]
		switch {
		case len(value) == 0 || string(value) == "null":
		case value[0] == '"':
			var text string
			if err := json.Unmarshal(value, &text); err != nil {
				return Row{}, &RowError{where, err}
			}
			row.Set(c.Field, text)
		default: // numbers, and the object of the metadata, unchanged
			row.Set(c.Field, string(value))
		}
	}
	return row, nil
}
