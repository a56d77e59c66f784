package gemini

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"casgate/providers"
	"casgate/providers/openaicompat"
)

// maxDisplayName is the length of a file's display name, in characters [C].
const maxDisplayName = 512

// FileID returns the id that an upload under a remote name chooses: at most 40 characters
// of a-z, 0-9 and dashes, with no dash at an end [C]. It begins with the installation's
// mark. A remote name has the digest and the fence of one attempt, so the id is the
// attempt's own, and an upload whose reply was lost is found by one request. The id is
// empty for other names: then Gemini chooses.
func FileID(name string) string {
	parsed, marked := providers.ParseRemoteName(name)
	if !marked {
		return ""
	}
	sum := sha256.Sum256([]byte("casgate file\x00" + name))
	return string(parsed.Mark) + "-" + hex.EncodeToString(sum[:13]) // 40 characters
}

// Upload implements providers.Provider. The display name is the remote name.
func (p *Provider) Upload(ctx context.Context, u providers.Upload) (providers.RemoteFile, error) {
	if err := p.check(u); err != nil {
		return providers.RemoteFile{}, err
	}
	mediaType := storedType(u.MediaType, strings.ToLower(path.Ext(u.Name)))
	target, err := p.start(ctx, u, mediaType)
	if err != nil {
		if e, ok := errors.AsType[*providers.Error](err); ok && e.Code == alreadyExists && FileID(u.Name) != "" {
			return p.findUploaded(ctx, u, e)
		}
		return providers.RemoteFile{}, err
	}
	sum := sha256.New()
	open := u.Open
	u.Open = func(ctx context.Context) (io.ReadCloser, error) {
		content, err := open(ctx)
		if err != nil {
			return nil, err
		}
		return hashed{content, io.TeeReader(content, sum)}, nil
	}
	answer, err := p.client.Send(ctx, openaicompat.Request{
		Op: providers.OpUpload, Method: http.MethodPost, URL: target, Uncredentialed: true,
		Header: http.Header{"X-Goog-Upload-Offset": {"0"}, "X-Goog-Upload-Command": {"upload, finalize"}},
	}, u)
	if err != nil {
		return providers.RemoteFile{}, err
	}
	return p.uploaded(ctx, answer, u, sum)
}

// check returns the error of an upload that Gemini would refuse, or would store under
// another name.
func (p *Provider) check(u providers.Upload) error {
	refuse := func(code, message string) error { return p.client.Refuse(providers.OpUpload, code, message, nil) }
	switch {
	case u.Purpose != "" && u.Purpose != general:
		return refuse(providers.CodeUnknownPurpose, fmt.Sprintf("there is no purpose %q", u.Purpose))
	case u.Size == 0:
		return refuse("empty_file", "Gemini takes no empty files")
	case !utf8.ValidString(u.Name) || strings.ContainsFunc(u.Name, unicode.IsControl) || utf8.RuneCountInString(u.Name) > maxDisplayName:
		return refuse("", fmt.Sprintf("a display name has at most %d characters, and no control characters", maxDisplayName))
	}
	return nil
}

// hashed reads a content through a reader that computes its digest.
type hashed struct {
	io.Closer
	io.Reader
}

// start begins an upload, and returns the URL for its bytes. It creates no file, so a
// failure leaves nothing behind, whatever its cause.
func (p *Provider) start(ctx context.Context, u providers.Upload, mediaType string) (target string, err error) {
	type file struct {
		Name        string `json:"name,omitempty"`
		DisplayName string `json:"display_name"`
		MIMEType    string `json:"mime_type"`
	}
	described := file{DisplayName: u.Name, MIMEType: mediaType}
	if id := FileID(u.Name); id != "" {
		described.Name = "files/" + id
	}
	body, err := json.Marshal(map[string]file{"file": described})
	if err != nil {
		return "", p.client.Refuse(providers.OpUpload, "", err.Error(), err)
	}
	answer, err := p.client.Call(ctx, openaicompat.Request{
		Op: providers.OpUpload, Method: http.MethodPost, URL: p.uploads, Body: body,
		Header: http.Header{
			"Content-Type":                        {"application/json"},
			"X-Goog-Upload-Protocol":              {"resumable"},
			"X-Goog-Upload-Command":               {"start"},
			"X-Goog-Upload-Header-Content-Length": {strconv.FormatInt(u.Size, 10)},
			"X-Goog-Upload-Header-Content-Type":   {mediaType},
		},
	})
	if err != nil {
		return "", nothingStored(err)
	}
	target = answer.Header.Get("X-Goog-Upload-Url")
	if target == "" {
		return "", nothingStored(p.client.BadAnswer(providers.OpUpload, answer.Status, "the answer has no URL for the bytes"))
	}
	return target, p.checkTarget(target)
}

// checkTarget refuses a URL for the bytes on another host: a blob goes only to the
// configured one.
func (p *Provider) checkTarget(target string) error {
	base, err := url.Parse(p.client.Base())
	if err != nil {
		return p.client.Refuse(providers.OpUpload, "", err.Error(), err)
	}
	to, err := url.Parse(target)
	if err != nil || to.Scheme != base.Scheme || to.Host != base.Host || to.User != nil {
		return p.client.Refuse(providers.OpUpload, "other_host", "the URL for the bytes is not on the host of the API; check "+p.client.Variable("BASE_URL"), nil)
	}
	return nil
}

// nothingStored turns an unknown outcome into a failure that left no file.
func nothingStored(err error) error {
	if e, ok := errors.AsType[*providers.Error](err); ok && e.Kind == providers.KindUnknown {
		e.Kind = providers.KindTransient
	}
	return err
}

// uploaded reads the answer to an upload's bytes.
func (p *Provider) uploaded(ctx context.Context, answer openaicompat.Answer, u providers.Upload, sum hash.Hash) (providers.RemoteFile, error) {
	if state := answer.Header.Get("X-Goog-Upload-Status"); state != "" && state != "final" {
		return providers.RemoteFile{}, p.client.BadAnswer(providers.OpUpload, answer.Status, fmt.Sprintf("the upload is %q and not final", state))
	}
	var body struct {
		File *fileObject `json:"file"`
	}
	if err := json.Unmarshal(answer.Body, &body); err != nil || body.File == nil || body.File.id() == "" {
		return providers.RemoteFile{}, p.client.BadAnswer(providers.OpUpload, answer.Status, "the answer has no file with a name")
	}
	if kept := digestOf(body.File.SHA256Hash); kept != nil && string(kept) != string(sum.Sum(nil)) {
		return providers.RemoteFile{}, p.damaged(ctx, answer.Status, body.File.id())
	}
	return p.completed(p.remoteFile(*body.File), u), nil
}

// damaged deletes a file whose bytes are not the sent ones. Only after the delete is it
// certain that nothing is stored.
func (p *Provider) damaged(ctx context.Context, status int, id string) error {
	err := p.client.BadAnswer(providers.OpUpload, status, "Gemini stored other bytes than were sent: the SHA-256 differs")
	if deleted := p.Delete(ctx, id); deleted == nil || providers.KindOf(deleted) == providers.KindLost {
		return nothingStored(err)
	}
	return err
}

// digestOf decodes the field sha256Hash, "base64" by its documentation. It is nil if the
// field is missing or has another form. Assumed: what is encoded is either the digest's
// 32 bytes, or its 64 hex digits.
func digestOf(text string) []byte {
	decoded, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil
	}
	switch len(decoded) {
	case sha256.Size:
		return decoded
	case 2 * sha256.Size:
		if sum, err := hex.DecodeString(string(decoded)); err == nil {
			return sum
		}
	}
	return nil
}

// completed adds what the answer to an upload doesn't have.
func (p *Provider) completed(f providers.RemoteFile, u providers.Upload) providers.RemoteFile {
	if f.Name == "" {
		f.Name = u.Name
	}
	if f.Size == 0 {
		f.Size = u.Size
	}
	if f.ExpiresAt.IsZero() {
		f.ExpiresAt = time.Now().UTC().Add(lifetimeSeconds * time.Second)
	}
	return f
}

// findUploaded returns the file of an upload whose id is taken. The id belongs to one
// remote name, so an earlier call stored the file and its reply was lost. It is the
// upload's result if name and size are the same.
func (p *Provider) findUploaded(ctx context.Context, u providers.Upload, taken *providers.Error) (providers.RemoteFile, error) {
	f, err := p.lookup(ctx, providers.OpUpload, FileID(u.Name))
	switch {
	case err == nil && f.Name == u.Name && f.Size == u.Size && f.Status != providers.StatusFailed:
		return f, nil
	case err == nil:
		return providers.RemoteFile{}, p.client.Refuse(providers.OpUpload, taken.Code, "there is another file with the chosen name", taken)
	}
	return providers.RemoteFile{}, err
}
