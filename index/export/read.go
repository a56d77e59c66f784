package export

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"

	"casgate/cas"
)

// ErrInvalid: a file is no export, or it is truncated or damaged.
var ErrInvalid = errors.New("not a whole export")

// Export is a whole export that can be read.
type Export struct {
	Header Header
	Counts Counts
	file   io.ReadSeeker
}

// Open reads a whole export, and checks it to its end: each line, the counts and the
// digest. If it is truncated or damaged, the error wraps ErrInvalid. The file must stay
// open and unchanged.
func Open(file io.ReadSeeker) (*Export, error) {
	e := &Export{file: file}
	var counts Counts
	var end *trailer
	for l, err := range e.lines() {
		switch {
		case err != nil:
			return nil, err
		case l.Header != nil:
			e.Header = *l.Header
		case l.Trailer != nil:
			end = l.Trailer
		}
		counts.count(l)
	}
	if end == nil {
		return nil, fmt.Errorf("%w: it ends without its last line, after %d files, %d copies, %d texts and %d blobs",
			ErrInvalid, counts.Files, counts.Copies, counts.Texts, counts.Blobs)
	}
	if end.Counts != counts {
		return nil, fmt.Errorf("%w: it has %+v, and its last line says %+v", ErrInvalid, counts, end.Counts)
	}
	e.Counts = counts
	return e, nil
}

// Objects returns the objects that the rows of blobs name.
func (e *Export) Objects() (map[cas.ObjectRef]bool, error) {
	refs := make(map[cas.ObjectRef]bool, e.Counts.Blobs)
	for l, err := range e.lines() {
		if err != nil {
			return nil, err
		}
		if l.Blob != nil {
			refs[l.Blob.row().Object()] = true
		}
	}
	return refs, nil
}

// lines returns all lines, from the first one.
func (e *Export) lines() iter.Seq2[line, error] {
	return func(yield func(line, error) bool) {
		if _, err := e.file.Seek(0, io.SeekStart); err != nil {
			yield(line{}, err)
			return
		}
		source, hash := bufio.NewReaderSize(e.file, 64<<10), sha256.New()
		for n := 1; ; n++ {
			text, err := source.ReadBytes('\n')
			if err == io.EOF && len(text) == 0 {
				return
			}
			if err != nil && err != io.EOF {
				yield(line{}, err)
				return
			}
			l, err := parse(text)
			if err == nil {
				err = e.place(l, n)
			}
			if err == nil && l.Trailer != nil {
				err = checkEnd(source, l.Trailer, hash.Sum(nil))
			}
			if err != nil {
				yield(line{}, fmt.Errorf("%w: line %d: %w", ErrInvalid, n, err))
				return
			}
			if !yield(l, nil) {
				return
			}
			hash.Write(text)
		}
	}
}

// parse reads one line.
func parse(text []byte) (l line, err error) {
	if !bytes.HasSuffix(text, []byte("\n")) {
		return l, errors.New("it is cut off")
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	return l, decoder.Decode(&l)
}

// place checks that a line is in its place.
func (e *Export) place(l line, n int) error {
	switch {
	case (n == 1) != (l.Header != nil):
		return errors.New("the first line must be the header, and no other")
	case n == 1 && l.Header.Version != version:
		return fmt.Errorf("the export has version %d, and this program reads version %d", l.Header.Version, version)
	case l == (line{}):
		return errors.New("it has nothing that this program knows")
	}
	return nil
}

// checkEnd checks the trailer, after which nothing may come.
func checkEnd(rest io.Reader, end *trailer, sum []byte) error {
	if !bytes.Equal(end.SHA256[:], sum) {
		return errors.New("the lines before it are not those that were written")
	}
	if n, _ := rest.Read(make([]byte, 1)); n > 0 {
		return errors.New("something comes after the last line")
	}
	return nil
}
