package openaicompat

import (
	"bytes"
	"errors"
	"unicode/utf8"

	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"
)

// guessed is a transformer to UTF-8 for a text whose encoding nothing declares. It
// decides by the bytes that follow the first byte above ASCII: UTF-8, or GB18030, or
// errCharset.
//
// GB18030 is a choice for Kimi, the one provider that extracts texts: its documents are
// Chinese above all, and GB18030 contains GBK and GB2312, in which old ones are written.
// A Western encoding has no such marks, so it can't be told from others. Text with wrong
// characters would be kept and served like a right one, so an error is better.
type guessed struct {
	chosen transform.Transformer // nil: only ASCII so far
}

// errCharset is the error of a text in an encoding that is neither declared nor
// recognised.
var errCharset = errors.New("the text is neither UTF-8 nor GB18030, and the answer declares no other charset")

// sampleSize is how many bytes decide, from the first one above ASCII. It is less than the
// buffer of transform.Reader, which has 4 KiB.
const sampleSize = 2 << 10

// Reset implements transform.Transformer.
func (g *guessed) Reset() { g.chosen = nil }

// Transform implements transform.Transformer.
func (g *guessed) Transform(dst, src []byte, atEOF bool) (nDst, nSrc int, err error) {
	if g.chosen != nil {
		return g.chosen.Transform(dst, src, atEOF)
	}
	ascii := 0
	for ascii < len(src) && src[ascii] < utf8.RuneSelf {
		ascii++
	}
	n := copy(dst, src[:ascii])
	switch rest := len(src) - ascii; {
	case n < ascii:
		return n, n, transform.ErrShortDst
	case rest == 0:
		return n, n, nil
	case rest < sampleSize && !atEOF:
		return n, n, transform.ErrShortSrc
	}
	sample := src[ascii:]
	if g.chosen, err = chooseDecoder(sample, atEOF); err != nil {
		return n, n, err
	}
	nDst, nSrc, err = g.chosen.Transform(dst[n:], sample, atEOF)
	return n + nDst, n + nSrc, err
}

// chooseDecoder returns the decoder for a text that goes on with a sample. Whole: the
// text ends with it.
func chooseDecoder(sample []byte, whole bool) (transform.Transformer, error) {
	var utf8Text mostlyUTF8
	if utf8Text.count(sample); utf8Text.plausible() {
		return &mostlyUTF8{}, nil
	}
	decoded := make([]byte, 3*len(sample)) // a byte becomes at most three
	chinese := newStrictGB18030()
	if _, _, err := chinese.Transform(decoded, sample, whole); errors.Is(err, errCharset) || !mostlyPairs(sample) {
		return nil, errCharset
	}
	return newStrictGB18030(), nil
}

// mostlyPairs reports whether most bytes above ASCII stand next to another one, as in
// Chinese text. In Western text of one byte a character they stand alone between
// letters, and strict GB18030 accepts many such pairs, too.
func mostlyPairs(text []byte) bool {
	above := func(i int) bool { return i >= 0 && i < len(text) && text[i] >= utf8.RuneSelf }
	var all, alone int
	for i := range text {
		if !above(i) {
			continue
		}
		all++
		if !above(i-1) && !above(i+1) {
			alone++
		}
	}
	return 2*alone < all
}

// mostlyUTF8 passes UTF-8, and replaces single broken characters by U+FFFD. Text with
// many of them is no UTF-8.
type mostlyUTF8 struct {
	transform.NopResetter
	valid, broken int // characters above ASCII, and bytes that are part of none
}

// Transform implements transform.Transformer.
func (m *mostlyUTF8) Transform(dst, src []byte, atEOF bool) (nDst, nSrc int, err error) {
	nDst, nSrc, err = unicode.UTF8.NewDecoder().Transform(dst, src, atEOF)
	if m.count(src[:nSrc]); !m.plausible() {
		err = errCharset
	}
	return nDst, nSrc, err
}

// count adds the characters of a text. A character that the end cuts off doesn't count.
func (m *mostlyUTF8) count(text []byte) {
	for len(text) > 0 && utf8.FullRune(text) {
		r, size := utf8.DecodeRune(text)
		switch {
		case r == utf8.RuneError && size == 1:
			m.broken++
		case size > 1:
			m.valid++
		}
		text = text[size:]
	}
}

// plausible reports whether the characters so far are those of a text in UTF-8.
func (m *mostlyUTF8) plausible() bool { return 20*m.broken <= m.valid }

// strictGB18030 decodes GB18030. Bytes that are no character are errCharset.
type strictGB18030 struct{ transform.Transformer }

func newStrictGB18030() strictGB18030 {
	return strictGB18030{simplifiedchinese.GB18030.NewDecoder()}
}

// Transform implements transform.Transformer.
func (s strictGB18030) Transform(dst, src []byte, atEOF bool) (nDst, nSrc int, err error) {
	nDst, nSrc, err = s.Transformer.Transform(dst, src, atEOF)
	replaced := bytes.Count(dst[:nDst], []byte("\uFFFD"))
	if replaced > bytes.Count(src[:nSrc], []byte("\x84\x31\xa4\x37")) { // U+FFFD in GB18030
		err = errCharset
	}
	return nDst, nSrc, err
}
