package chatapi

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"casgate/cas"
	"casgate/cas/access"
	"casgate/gateway/chatbody"
	"casgate/gateway/problem"
	"casgate/gateway/request"
	"casgate/providers"
)

const (
	// headerInline says for one request what the setting says for all: pass leaves bytes in
	// the request, where the provider takes them so, and store makes files of them.
	headerInline = "X-Casgate-Inline"
	// smallInline is the size below which bytes stay in the request: a copy would cost more.
	smallInline = 64 << 10
	// inlineContext and inlinePurpose describe the files that are made of such bytes.
	inlineContext = "chat"
	inlinePurpose = "user_data"
)

// inline is the bytes of a file within a request.
type inline struct {
	encoded   []byte // base64, or percent-encoded
	isBase64  bool
	isURL     bool   // it stands in a data: URL
	mediaType string // declared; may be empty
	name      string
	decoded   // once it is known
}

// contained returns the file whose bytes are in a part. It is nil if they stay there.
func (x *completion) contained(part chatbody.Part, data chatbody.Value) (*attachment, error) {
	in := parseInline(data.Text)
	if name, ok := part.Value(chatbody.FileName); ok {
		// A bad name is no reason to refuse the bytes.
		in.name, _ = request.CleanName(string(name.Text))
	}
	if x.staysInline(part, in) {
		x.h.metrics.part(x.to.provider, part.Type, sourcePassed)
		return nil, nil
	}
	if err := x.h.Authorizer.Require(x.c, access.ScopeWrite); err != nil {
		if errors.Is(err, problem.Forbidden) {
			err = problem.New(problem.Forbidden, err.Error()+" Bytes in a request are stored. "+headerInline+": pass leaves them there, if the provider takes them so.")
		}
		return nil, problem.WithParam(data.Param.String(), err)
	}
	return &attachment{param: data.Param, source: sourceInline, inline: in, asIs: x.takesInline(part, in)}, nil
}

// staysInline reports whether the provider is to get the bytes within the request.
func (x *completion) staysInline(part chatbody.Part, in *inline) bool {
	if !x.takesInline(part, in) {
		return false
	}
	return x.passInline || in.size() < smallInline
}

// readInline reads whether bytes of any size are to stay in the request.
func (x *completion) readInline() error {
	switch asked := x.c.Request().Header.Get(headerInline); strings.ToLower(asked) {
	case "":
		x.passInline = x.h.o.PassInline
	case "pass":
		x.passInline = true
	case "store":
	default:
		return problem.BadRequest(fmt.Sprintf("%s is %.100q; it is store or pass", headerInline, asked))
	}
	return nil
}

// inlineTypes are what parts with bytes in them are for: the beginning of the media types,
// and one that each provider of such files takes.
var inlineTypes = map[string]struct{ prefix, usual string }{
	"image_url": {"image/", "image/png"},
	"video_url": {"video/", "video/mp4"},
	"file":      {"", "application/pdf"},
}

// takesInline reports whether the provider takes the part as it stands. Providers read
// data: URLs there, and no base64 alone. A provider that has references for such files has
// them for the types that it takes.
func (x *completion) takesInline(part chatbody.Part, in *inline) bool {
	of, ok := inlineTypes[part.Type]
	if !ok || !in.isURL || !slices.Contains(x.to.chat.Inline, part.Type) || !strings.HasPrefix(in.mediaType, of.prefix) {
		return false
	}
	return x.to.takesPart(in.mediaType, providers.Extension(in.name, in.mediaType)) || !x.to.takesPart(of.usual, providers.Extension("", of.usual))
}

// takesPart reports whether the provider has files of a type in parts of a message, other
// than as a text.
func (t target) takesPart(mediaType, extension string) bool {
	return slices.ContainsFunc(t.account.References(mediaType, extension), func(k providers.ReferenceKind) bool {
		return k.Place == providers.PlacePart && k.Needs != providers.NeedText && (k.Request == providers.RequestChat || k.Request == "")
	})
}

// parseInline reads a data: URL (RFC 2397), or plain base64.
func parseInline(text []byte) *inline {
	rest := text
	if !hasScheme(text, "data:") {
		return &inline{encoded: rest, isBase64: true}
	}
	head, rest, ok := bytes.Cut(text[len("data:"):], []byte(","))
	if !ok {
		return &inline{encoded: head, isBase64: true}
	}
	in := &inline{encoded: rest, isURL: true}
	declared := string(head)
	if i := strings.LastIndex(declared, ";"); i >= 0 && strings.EqualFold(strings.TrimSpace(declared[i+1:]), "base64") {
		in.isBase64, declared = true, declared[:i]
	}
	if _, parameters, err := mime.ParseMediaType(declared); err == nil && parameters["name"] != "" { // as some programs send it
		in.name, _ = request.CleanName(parameters["name"])
	}
	in.mediaType = cas.NormalMediaType(declared)
	return in
}

// size returns the number of bytes, or a few more.
func (in *inline) size() int {
	if in.isBase64 {
		return base64.RawStdEncoding.DecodedLen(len(in.encoded))
	}
	return len(in.encoded)
}

// open returns the bytes.
func (in *inline) open() io.Reader {
	if !in.isBase64 {
		text, err := url.PathUnescape(string(in.encoded))
		if err != nil {
			return failing{fmt.Errorf("it is not valid percent-encoding: %w", err)}
		}
		return strings.NewReader(text)
	}
	encoded := in.encoded
	if bytes.IndexByte(encoded, '%') >= 0 { // as RFC 2397 allows
		decoded, err := url.PathUnescape(string(encoded))
		if err != nil {
			return failing{fmt.Errorf("it is not valid percent-encoding: %w", err)}
		}
		encoded = []byte(decoded)
	}
	if bytes.IndexByte(encoded, '\n') >= 0 || bytes.IndexByte(encoded, '\r') >= 0 {
		encoded = bytes.Map(func(r rune) rune {
			if r == '\n' || r == '\r' {
				return -1
			}
			return r
		}, encoded)
	}
	encoded = bytes.TrimRight(encoded, "=")
	encoding := base64.RawStdEncoding
	if bytes.IndexByte(encoded, '-') >= 0 || bytes.IndexByte(encoded, '_') >= 0 { // much faster than ContainsAny
		encoding = base64.RawURLEncoding
	}
	return &base64Reader{encoding: encoding, rest: encoded}
}

// failing is a reader that fails.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// base64Reader decodes a text that is in memory, in large steps: the standard decoder
// takes a kilobyte at a time.
type base64Reader struct {
	encoding *base64.Encoding
	rest     []byte
	decoded  []byte // not read yet
	buffer   []byte
}

// base64Step is the number of characters that are decoded at a time. Four are three bytes.
const base64Step = 64 << 10

// Read implements io.Reader.
func (r *base64Reader) Read(p []byte) (int, error) {
	if len(r.decoded) == 0 {
		if len(r.rest) == 0 {
			return 0, io.EOF
		}
		step := r.rest[:min(base64Step, len(r.rest))]
		if r.buffer == nil {
			r.buffer = make([]byte, r.encoding.DecodedLen(min(base64Step, len(r.rest)))+3)
		}
		n, err := r.encoding.Decode(r.buffer, step)
		if err != nil {
			return 0, fmt.Errorf("it is not valid base64: %w", err)
		}
		r.rest, r.decoded = r.rest[len(step):], r.buffer[:n]
	}
	n := copy(p, r.decoded)
	r.decoded = r.decoded[n:]
	return n, nil
}

// decode completes what an attachment wants, except the file. If the bytes are not known,
// it checks that the provider may take them.
func (x *completion) decode(ctx context.Context, a *attachment) error {
	in := a.inline
	var err error
	if in.decoded, err = x.h.taken.decode(in); err != nil {
		return problem.BadRequest("the bytes in the request can't be read: " + err.Error())
	}
	if in.name == "" {
		in.name = "inline" + providers.Extension("", in.mediaType)
	}
	a.want.Digest, a.want.Name, a.want.MediaType = in.digest, in.name, in.mediaType
	if _, ok := x.h.taken.get(in.digest); ok {
		return nil
	}
	blob, err := x.h.Store.Blob(ctx, in.digest)
	if errors.Is(err, cas.ErrBlobNotFound) {
		blob, err = in.blob()
	}
	if err != nil {
		return err
	}
	err = x.unlessPassed(a, x.h.Copies.CheckChat(ctx, a.want, blob))
	if a.source == sourcePassed {
		a.inline = nil
	}
	return err
}

// blob returns what will be known of the bytes once they are stored.
func (in *inline) blob() (cas.Blob, error) {
	head := make([]byte, cas.DetectLen)
	n, err := io.ReadFull(in.open(), head)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return cas.Blob{}, err
	}
	return cas.Blob{Digest: in.digest, Size: in.length, Name: in.name, MediaType: cas.DetectMediaType(head[:n], in.mediaType, in.name)}, nil
}

// takeIn stores the bytes of an attachment, unless they are here.
func (x *completion) takeIn(ctx context.Context, a *attachment) error {
	file, err := x.h.keepInline(ctx, a.inline)
	a.want.File = file
	a.inline = nil // the text of the request can go
	return err
}

// takenIn remembers the bytes that were taken in, so that each turn of a conversation,
// which sends them again, costs no write.
type takenIn struct {
	flights singleflight.Group
	text    cipher.AEAD // identifies texts
	mu      sync.Mutex
	files   map[cas.Digest]takenFile
	texts   map[textKey]decoded
}

// textKey identifies a text that contains bytes. decoded describes those bytes.
type (
	textKey struct {
		mac      [16]byte
		isBase64 bool
	}
	decoded struct {
		digest cas.Digest
		length int64
	}
)

// newTextMAC returns the authentication code that identifies texts: GMAC, with a key that no
// client knows. It takes less than half of the time of SHA-256. Two texts of a request's
// size have the same code with a probability below 2^-100, whatever a client sends: it
// never sees a code.
func newTextMAC() (cipher.AEAD, error) {
	key := make([]byte, 32)
	rand.Read(key) // never fails
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// keyOf returns the key of a text. The nonce may be the same each time, since nothing is
// encrypted and the codes stay here.
func (t *takenIn) keyOf(in *inline) textKey {
	key := textKey{isBase64: in.isBase64}
	t.text.Seal(key.mac[:0], make([]byte, t.text.NonceSize()), nil, in.encoded)
	return key
}

// decode returns the digest and the number of the bytes in a text. A text that came before
// is not decoded again.
func (t *takenIn) decode(in *inline) (decoded, error) {
	key := t.keyOf(in)
	t.mu.Lock()
	known, ok := t.texts[key]
	t.mu.Unlock()
	if ok {
		return known, nil
	}
	sum := sha256.New()
	var d decoded
	var err error
	if d.length, err = io.Copy(sum, in.open()); err != nil {
		return decoded{}, err
	}
	sum.Sum(d.digest[:0])
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.texts) >= maxTaken {
		clear(t.texts)
	}
	t.texts[key] = d
	return d, nil
}

// takenFile is the file of such bytes.
type takenFile struct {
	id    string
	until time.Time // its expiry is later than this
}

// maxTaken bounds the entries of takenIn.
const maxTaken = 10_000

func newTakenIn() (*takenIn, error) {
	text, err := newTextMAC()
	return &takenIn{text: text, files: map[cas.Digest]takenFile{}, texts: map[textKey]decoded{}}, err
}

func (t *takenIn) get(d cas.Digest) (takenFile, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f, ok := t.files[d]
	return f, ok
}

func (t *takenIn) put(d cas.Digest, f takenFile) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.files) >= maxTaken {
		clear(t.files)
	}
	t.files[d] = f
}

// keepSlack is the part of Keep by which a file may expire late, so that not each use
// writes.
const keepSlack = 30

// keepInline makes sure that a blob has the bytes, and a file refers to it, which expires
// some time after its last use. It returns the file's id.
func (h *Handlers) keepInline(ctx context.Context, in *inline) (id string, err error) {
	d := in.digest
	if known, ok := h.taken.get(d); ok && time.Now().Add(h.o.Keep).Before(known.until) {
		if _, blob, err := h.Files.KnownBytes(ctx, known.id); err == nil && blob.Digest == d {
			return known.id, nil
		}
	}
	// Several parts, or several clients, may bring the same bytes at the same time.
	done := h.taken.flights.DoChan(d.String(), func() (any, error) {
		return h.storeInline(context.WithoutCancel(ctx), in)
	})
	select {
	case result := <-done:
		id, _ = result.Val.(string)
		return id, result.Err
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}

// storeInline stores the bytes and their file. If another file has the bytes, it serves
// as well: the request brings the bytes again if they should go with it.
func (h *Handlers) storeInline(ctx context.Context, in *inline) (string, error) {
	d := in.digest
	until := time.Now().Add(h.o.Keep + h.o.Keep/keepSlack)
	upload := cas.Upload{Body: in.open(), Size: in.length, Digest: &d, MediaType: in.mediaType, Name: in.name}
	file, _, err := h.Files.Create(ctx, upload, func() cas.NewFile {
		return cas.NewFile{Unique: true, File: cas.File{
			Name: in.name, MediaType: in.mediaType, Purpose: inlinePurpose, Context: inlineContext,
			ExpiresAt: until, OnExpiry: cas.OnExpiryEverywhere,
		}}
	})
	switch {
	case errors.Is(err, cas.ErrDuplicateFile) && file.Context == inlineContext:
		if err := h.Files.ProlongFiles(ctx, map[string]time.Time{file.ID: until}); err != nil {
			return "", err
		}
	case errors.Is(err, cas.ErrDuplicateFile):
		if !file.ExpiresAt.IsZero() && file.ExpiresAt.Before(until) {
			until = file.ExpiresAt
		}
	case err != nil:
		return "", err
	}
	h.taken.put(d, takenFile{file.ID, until})
	return file.ID, nil
}
