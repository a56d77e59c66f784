package chatbody

import (
	"bytes"
	"encoding/binary"
	"sort"
)

// outline is a body without the inside of its long strings, as the JSON decoder gets it.
// The decoder reads byte by byte, which takes longer for a file of megabytes than all the
// rest of a request. The inside of these strings tells it nothing: it has no escapes and
// no control characters, and they are no names. All else is there, so the decoder finds
// every error that the body has.
type outline struct {
	raw   []byte
	cuts  []cut
	names int // of all objects, up to some more than maxNames
}

// cut is a range of the body that the outline does not have.
type cut struct {
	span
	shown   int // bytes of the outline before it
	removed int // bytes of the body that the outline lacks, with this range
}

// longString is the length in bytes from which the inside of a string is left out.
const longString = 1 << 10

// maxOutline is the largest part of a body that an outline may be, as 1/maxOutline. A
// larger one would save little, and its copy would need memory.
const maxOutline = 8

// outlineOf returns the outline of a body, or all of the body if that would save little.
func outlineOf(raw []byte) outline {
	o := newOutline(raw, longString)
	if o.size() > len(raw)/maxOutline {
		o.cuts = nil
	}
	return o
}

// newOutline returns the outline of a body, without the inside of strings that have a
// length or more.
func newOutline(raw []byte, long int) outline {
	o := outline{raw: raw}
	removed := 0
	for at := 0; o.names <= maxNames; {
		quoted, ok := nextString(raw, at)
		if !ok {
			break
		}
		at = quoted.end
		if isName(raw[at:]) {
			o.names++
			continue
		}
		inside := span{quoted.start + 1, quoted.end - 1}
		if inside.end-inside.start < long || !isPlain(raw[inside.start:inside.end]) {
			continue
		}
		shown := inside.start - removed
		removed += inside.end - inside.start
		o.cuts = append(o.cuts, cut{inside, shown, removed})
	}
	return o
}

// size returns the number of the outline's bytes.
func (o outline) size() int {
	if len(o.cuts) == 0 {
		return len(o.raw)
	}
	return len(o.raw) - o.cuts[len(o.cuts)-1].removed
}

// nextString returns the first string at a position or after it, with its quotes. The
// position must be outside of strings.
func nextString(raw []byte, at int) (span, bool) {
	begin := bytes.IndexByte(raw[at:], '"')
	if begin < 0 {
		return span{}, false
	}
	begin += at
	for end := begin; ; {
		next := bytes.IndexByte(raw[end+1:], '"')
		if next < 0 {
			return span{}, false
		}
		end += 1 + next
		inside := raw[begin+1 : end]
		if backslashes := len(inside) - len(bytes.TrimRight(inside, `\`)); backslashes%2 == 0 {
			return span{begin, end + 1}, true
		}
	}
}

// isName reports whether the string before a text is a name.
func isName(after []byte) bool {
	for _, c := range after {
		switch c {
		case ' ', '\t', '\r', '\n':
		default:
			return c == ':'
		}
	}
	return false
}

// everyByte times a byte is a word that has the byte eight times.
const everyByte = 0x0101010101010101

// isPlain reports whether a text has neither backslashes nor control characters. It looks
// at eight bytes at a time: a byte of (x-lowest)&^x has its highest bit if it is below
// lowest, or if one before it is.
func isPlain(text []byte) bool {
	for ; len(text) >= 32; text = text[32:] {
		var found uint64
		for i := 0; i < 32; i += 8 {
			x := binary.LittleEndian.Uint64(text[i:])
			backslash := x ^ everyByte*'\\' // zero where x has one
			found |= (x-everyByte*' ')&^x | (backslash-everyByte)&^backslash
		}
		if found&(everyByte*0x80) != 0 {
			return false
		}
	}
	for _, c := range text {
		if c < ' ' || c == '\\' {
			return false
		}
	}
	return true
}

// text returns the outline's bytes.
func (o outline) text() []byte {
	if len(o.cuts) == 0 {
		return o.raw
	}
	text := make([]byte, 0, o.size())
	at := 0
	for _, c := range o.cuts {
		text = append(text, o.raw[at:c.start]...)
		at = c.end
	}
	return append(text, o.raw[at:]...)
}

// position returns the position in the body for one in the outline.
func (o outline) position(shown int) int {
	i := sort.Search(len(o.cuts), func(i int) bool { return o.cuts[i].shown >= shown })
	if i == 0 {
		return shown
	}
	return shown + o.cuts[i-1].removed
}

// isPlain reports whether a string, with its quotes, is known to have no escapes.
func (o outline) isPlain(quoted span) bool {
	i := sort.Search(len(o.cuts), func(i int) bool { return o.cuts[i].start > quoted.start })
	return i < len(o.cuts) && o.cuts[i].start == quoted.start+1
}
