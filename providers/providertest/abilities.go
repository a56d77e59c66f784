package providertest

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"casgate/cas"
	"casgate/providers"
)

func testRetrieve(t *testing.T, r *run) {
	retriever, ok := providers.Ability[providers.Retriever](r.Provider)
	if !ok {
		t.Skip("the adapter is no Retriever")
	}
	f := r.mustUpload(t, r.listed())
	got, err := retriever.Retrieve(t.Context(), f.ID)
	if err != nil {
		t.Fatal(err)
	}
	r.wantFile(t, got, f)
	r.remote.Forget(f.ID)
	for _, id := range []string{f.ID, "no-such-file"} {
		_, err := retriever.Retrieve(t.Context(), id)
		r.wantError(t, err, providers.OpRetrieve, providers.KindLost)
	}
}

// maxPolls is how many lookups Harness.Processing may need.
const maxPolls = 10

func testPoll(t *testing.T, r *run) {
	if _, ok := providers.Ability[providers.Poller](r.Provider); !ok {
		t.Skip("the adapter is no Poller")
	}
	if r.Processing == nil {
		t.Fatal("the adapter is a Poller, and the harness has no Processing")
	}
	provider, remote := r.Processing(t)
	slow := &run{r.Harness, provider, remote, provider.Describe()}
	poller, _ := providers.Ability[providers.Poller](provider)
	f := slow.mustUpload(t, slow.listed())
	if f.Status != providers.StatusProcessing {
		t.Errorf("an unfinished file is %q; want %q", f.Status, providers.StatusProcessing)
	}
	for polls := 0; f.Status == providers.StatusProcessing; polls++ {
		if polls == maxPolls {
			t.Fatalf("after %d polls the file is still unfinished", polls)
		}
		id := f.ID
		var err error
		if f, err = poller.Poll(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		if f.ID != id {
			t.Errorf("polled for %s, got %+v", id, f)
		}
	}
	if f.Status != providers.StatusReady {
		t.Errorf("a finished file is %+v", f)
	}
	remote.Forget(f.ID)
	_, err := poller.Poll(t.Context(), f.ID)
	// It is a lookup like any other; which of the two it is called makes no difference.
	r.wantError(t, err, opOf(err, providers.OpPoll, providers.OpRetrieve), providers.KindLost)
}

// opOf returns the op of an error where it is one of those; otherwise the first.
func opOf(err error, ops ...providers.Op) providers.Op {
	if e, ok := errors.AsType[*providers.Error](err); ok && slices.Contains(ops, e.Op) {
		return e.Op
	}
	return ops[0]
}

// trickyText has characters that JSON escapes, and characters of several bytes.
const trickyText = "Eins: \"quoted\" \\ back\tslash\r\n年度报告 \U0001F600 \u2028 </script> \u0001 \ufeff e\u0301 end"

func testText(t *testing.T, r *run) {
	extractor, ok := providers.Ability[providers.TextExtractor](r.Provider)
	if !ok {
		t.Skip("the adapter is no TextExtractor")
	}
	p, err := r.description.Purpose(extractor.TextPurpose(), "")
	if err != nil {
		t.Fatal(err)
	}
	extension := extensionOf(p)
	for _, want := range []string{trickyText, "short", strings.Repeat(trickyText, 500)} {
		f, err := r.Upload(t.Context(), textContent(want).upload(p, rand.Text()+extension))
		if err != nil {
			t.Fatal(err)
		}
		if got := readAll(t, extractor.Text, f.ID); got != want {
			t.Errorf("the text of %d bytes came as one of %d: %.100q; want %.100q", len(want), len(got), got, want)
		}
		// One that is not read to its end is closed nevertheless.
		body, err := extractor.Text(t.Context(), f.ID)
		if err != nil {
			t.Fatal(err)
		}
		if err := body.Close(); err != nil {
			t.Errorf("closing: %v", err)
		}
	}
	_, err = extractor.Text(t.Context(), "no-such-file")
	r.wantError(t, err, providers.OpText, providers.KindLost)
}

// testTextCharsets: texts in any charset arrive as UTF-8, or with an error: a text with
// wrong characters would be kept.
func testTextCharsets(t *testing.T, r *run) {
	if _, ok := providers.Ability[providers.TextExtractor](r.Provider); !ok {
		t.Skip("the adapter is no TextExtractor")
	}
	chinese := strings.Repeat("年度报告：全年收入增长百分之十二。\n", 200)
	for _, answer := range []TextAnswer{
		{Text: chinese, Charset: "gbk"}, {Text: chinese, Charset: "gb18030"}, {Text: chinese, Charset: "utf-16le"},
		{Text: "臺灣的年度報告", Charset: "big5"}, {Text: "un café très fort", Charset: "windows-1252"},
		{Text: chinese, Charset: "utf-8", Undeclared: true}, {Text: chinese, Charset: "gbk", Undeclared: true},
	} {
		if got, err := r.text(t, answer); err != nil || got != answer.Text {
			t.Errorf("%s, undeclared %t: %d bytes, %.60q, %v", answer.Charset, answer.Undeclared, len(got), got, err)
		}
	}
	_, err := r.text(t, TextAnswer{Text: "un café très fort", Charset: "windows-1252", Undeclared: true})
	r.wantError(t, err, providers.OpText, providers.KindPermanent)
}

// testNoText: a document without text is an error of its own, and no empty text.
func testNoText(t *testing.T, r *run) {
	if _, ok := providers.Ability[providers.TextExtractor](r.Provider); !ok {
		t.Skip("the adapter is no TextExtractor")
	}
	for _, text := range []string{"", " \r\n\t", "\u3000\u00a0\ufeff"} {
		_, err := r.text(t, TextAnswer{Text: text, Charset: "utf-8"})
		if e := r.wantError(t, err, providers.OpText, providers.KindPermanent); e != nil && e.Code != providers.CodeNoText {
			t.Errorf("%q: code %q", text, e.Code)
		}
	}
}

// text uploads a document, and reads its text.
func (r *run) text(t *testing.T, answer TextAnswer) (string, error) {
	t.Helper()
	if r.Text == nil {
		t.Fatal("the adapter is a TextExtractor, and the harness has no Text")
	}
	provider, remote := r.Text(t, answer)
	of := &run{r.Harness, provider, remote, provider.Describe()}
	extractor, _ := providers.Ability[providers.TextExtractor](provider)
	p, err := of.description.Purpose(extractor.TextPurpose(), "")
	if err != nil {
		t.Fatal(err)
	}
	body, err := extractor.Text(t.Context(), of.mustUpload(t, p).ID)
	if err != nil {
		return "", err
	}
	defer body.Close()
	text, err := io.ReadAll(body)
	return string(text), err
}

func readAll(t *testing.T, open func(context.Context, string) (io.ReadCloser, error), id string) string {
	t.Helper()
	body, err := open(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(body)
	if err := errors.Join(err, body.Close()); err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func testDownload(t *testing.T, r *run) {
	downloader, ok := providers.Ability[providers.Downloader](r.Provider)
	if !ok {
		t.Skip("the adapter is no Downloader")
	}
	if r.ReturnsGenerated {
		r.testDownloadOfGenerated(t, downloader)
		return
	}
	whole := 0
	for _, p := range r.description.Purposes {
		extension := extensionOf(p)
		c := fitting(extension)
		f, err := r.Upload(t.Context(), c.upload(p, rand.Text()+extension))
		if err != nil {
			t.Fatal(err)
		}
		body, err := downloader.Download(t.Context(), f.ID)
		if err != nil { // not of this purpose
			r.wantError(t, err, providers.OpDownload)
			continue
		}
		want, _ := io.ReadAll(c.read())
		got, err := io.ReadAll(body)
		if err := errors.Join(err, body.Close()); err != nil {
			t.Fatal(err)
		}
		if string(got) == string(want) {
			whole++
		}
	}
	if whole == 0 {
		t.Error("files of no purpose can be downloaded")
	}
	_, err := downloader.Download(t.Context(), "no-such-file")
	r.wantError(t, err, providers.OpDownload, providers.KindLost)
}

// testDownloadOfGenerated: the provider returns its own files. For an uploaded one, the
// error says that there is no download.
func (r *run) testDownloadOfGenerated(t *testing.T, downloader providers.Downloader) {
	f := r.mustUpload(t, r.listed())
	_, err := downloader.Download(t.Context(), f.ID)
	r.wantError(t, err, providers.OpDownload, providers.KindPermanent)
	if !errors.Is(err, providers.ErrNoDownload) {
		t.Errorf("an uploaded file: %v; want ErrNoDownload", err)
	}
	if got := readAll(t, downloader.Download, r.plantGenerated(trickyText).ID); got != trickyText {
		t.Errorf("got %.100q; want %.100q", got, trickyText)
	}
	_, err = downloader.Download(t.Context(), "no-such-file")
	r.wantError(t, err, providers.OpDownload, providers.KindLost)
}

func testReferences(t *testing.T, r *run) {
	tricky := `id"with\odd` + "\n<&>'é😀"
	m := providers.Material{FileID: "file-" + tricky, Text: trickyText, URL: "https://h.example/b?x=1&y=" + tricky, Bytes: []byte(tricky), Name: "na" + tricky, MediaType: "text/plain", Digest: cas.DigestOf([]byte(tricky))}
	found := 0
	for _, file := range []struct{ mediaType, extension string }{
		{"application/pdf", ".pdf"}, {"text/plain", ".txt"}, {"image/png", ".png"}, {"video/mp4", ".mp4"},
		{"application/jsonl", ".jsonl"}, {"audio/mpeg", ".mp3"}, {"", ""}, {"application/x-unheard-of", ".zzz"}, {"Image/PNG; a=b", ".png"},
	} {
		seen := map[[2]string]bool{}
		for _, kind := range r.References(file.mediaType, file.extension) {
			found++
			chosenBy := [2]string{kind.Name, kind.Purpose}
			if kind.Name == "" || seen[chosenBy] {
				t.Errorf("%+v: kind %+v can't be told from others", file, kind)
			}
			seen[chosenBy] = true
			if kind.Place == "" || (kind.Place == providers.PlaceValue) != (kind.Field != "") || kind.Where() == "" {
				t.Errorf("%s doesn't say where it goes: %+v", kind.Name, kind)
			}
			needed := map[providers.Need]string{providers.NeedCopy: m.FileID, providers.NeedText: m.Text, providers.NeedURL: m.URL, providers.NeedBytes: base64.StdEncoding.EncodeToString(m.Bytes)}[kind.Needs]
			if needed == "" {
				t.Fatalf("%s needs %q", kind.Name, kind.Needs)
			}
			if kind.Needs == providers.NeedCopy || kind.Needs == providers.NeedText {
				p, err := r.description.Purpose(kind.Purpose, file.mediaType)
				if err != nil || kind.Purpose == "" {
					t.Errorf("%s: purpose %q: %v", kind.Name, kind.Purpose, err)
				} else if _, ok := p.ExtensionOf(providers.FileType{MediaType: file.mediaType, Extension: file.extension}); !ok {
					t.Errorf("%s of %s needs a copy that %s doesn't take", kind.Name, file.extension, p.Name)
				}
			}
			r.wantReference(t, kind, m, needed)
		}
	}
	if found == 0 {
		t.Error("no file can be used in any way")
	}
	if _, err := r.Reference(providers.ReferenceKind{Name: "no_such_kind", Needs: providers.NeedCopy}, m); !errors.Is(err, providers.ErrNoReference) {
		t.Errorf("an unknown kind: %v; want ErrNoReference", err)
	}
}

// wantReference checks that the reference is JSON with the material in one of its
// strings, unharmed.
func (r *run) wantReference(t *testing.T, kind providers.ReferenceKind, m providers.Material, needed string) {
	t.Helper()
	reference, err := r.Reference(kind, m)
	if err != nil {
		t.Errorf("%s: %v", kind.Name, err)
		return
	}
	r.wantNoSecret(t, "a reference", string(reference))
	var value any
	if err := json.Unmarshal(reference, &value); err != nil {
		t.Errorf("%s: %s is no JSON: %v", kind.Name, reference, err)
		return
	}
	if !holds(value, needed) {
		t.Errorf("%s: %s doesn't hold %q", kind.Name, reference, needed)
	}
}

func holds(value any, s string) bool {
	switch v := value.(type) {
	case string:
		return strings.Contains(v, s)
	case []any:
		return slices.ContainsFunc(v, func(e any) bool { return holds(e, s) })
	case map[string]any:
		for _, e := range v {
			if holds(e, s) {
				return true
			}
		}
	}
	return false
}
