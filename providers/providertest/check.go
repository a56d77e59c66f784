package providertest

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"casgate/providers"
	"casgate/providers/simulator"
)

// maxMessage is the maximum length of an error, in bytes.
const maxMessage = 4 << 10

// wantError checks the properties of every error, and that its kind is one of kinds. No
// kinds means any.
func (r *run) wantError(t *testing.T, err error, op providers.Op, kinds ...providers.Kind) *providers.Error {
	t.Helper()
	if err == nil {
		t.Fatalf("%s: no error; want one of %v", op, kinds)
	}
	e, ok := errors.AsType[*providers.Error](err)
	if !ok {
		t.Fatalf("%s: %T (%v) wraps no *providers.Error", op, err, err)
	}
	if e.Provider != r.description.Provider {
		t.Errorf("%s: the error's provider is %q; want %q", op, e.Provider, r.description.Provider)
	}
	if e.Op != op && e.Op != providers.OpCheck {
		t.Errorf("the error's op is %q; want %q", e.Op, op)
	}
	if len(kinds) > 0 && !slices.Contains(kinds, e.Kind) {
		t.Errorf("%s: kind %s (%v); want one of %v", op, e.Kind, err, kinds)
	}
	r.wantHarmless(t, err)
	r.wantHarmless(t, e)
	stored, jsonErr := json.Marshal(e)
	if jsonErr != nil {
		t.Fatalf("%s: the error can't be stored: %v", op, jsonErr)
	}
	r.wantNoSecret(t, "the error's JSON", string(stored))
	return e
}

func (r *run) wantHarmless(t *testing.T, err error) {
	t.Helper()
	message := err.Error()
	r.wantNoSecret(t, "the error", message)
	if len(message) > maxMessage {
		t.Errorf("an error of %d bytes: %.200s…", len(message), message)
	}
	if !utf8.ValidString(message) {
		t.Errorf("an error that is no UTF-8: %q", message)
	}
	// A terminal or a log would take them for something else.
	if i := strings.IndexFunc(message, func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' }); i >= 0 {
		t.Errorf("an error with control characters: %q", message)
	}
}

func (r *run) wantNoSecret(t *testing.T, what, s string) {
	t.Helper()
	for _, secret := range r.Secrets {
		if strings.Contains(s, secret) {
			t.Errorf("%s tells a secret: %s", what, strings.ReplaceAll(s, secret, "<SECRET>"))
		}
	}
}

// listed returns a purpose for tests of no purpose in particular: one that is
// listed, and takes text if any does.
func (r *run) listed() providers.Purpose {
	for _, p := range r.description.Purposes {
		if !p.Unlisted && extensionOf(p) == ".txt" {
			return p
		}
	}
	for _, p := range r.description.Purposes {
		if !p.Unlisted {
			return p
		}
	}
	return r.description.Purposes[0]
}

// mustUpload uploads something new, with success.
func (r *run) mustUpload(t *testing.T, p providers.Purpose) providers.RemoteFile {
	t.Helper()
	extension := extensionOf(p)
	c := fitting(extension)
	f, err := r.Upload(t.Context(), c.upload(p, rand.Text()+extension))
	if err != nil {
		t.Fatalf("uploading: %v", err)
	}
	c.wantDone(t)
	return f
}

// list collects a listing. A repeated id is a failure, and more than limit files
// end it.
func (r *run) list(t *testing.T, purpose string, limit int) (files []providers.RemoteFile, err error) {
	t.Helper()
	seen := map[string]bool{}
	for f, err := range r.List(t.Context(), purpose) {
		if err != nil {
			if f != (providers.RemoteFile{}) {
				t.Errorf("an error came with the file %+v", f)
			}
			r.wantError(t, err, providers.OpList)
			return files, err
		}
		if seen[f.ID] {
			t.Errorf("%s was listed twice", f.ID)
		}
		seen[f.ID] = true
		if files = append(files, f); len(files) > limit {
			t.Fatalf("more than %d files were listed", limit)
		}
	}
	return files, nil
}

func (r *run) mustList(t *testing.T, purpose string) []providers.RemoteFile {
	t.Helper()
	files, err := r.list(t, purpose, 100_000)
	if err != nil {
		t.Fatalf("listing: %v", err)
	}
	return files
}

// plant adds n files of a purpose at the provider, and returns their ids.
func (r *run) plant(p providers.Purpose, n int) map[string]bool {
	ids := map[string]bool{}
	for range n {
		id := "file-" + rand.Text()
		r.remote.Put(simulator.RemoteFile{ID: id, Name: id + extensionOf(p), Purpose: r.remotePurpose(p), Head: []byte(id)})
		ids[id] = true
	}
	return ids
}

// remotePurpose returns the purpose that files of p have at the provider.
func (r *run) remotePurpose(p providers.Purpose) string {
	if r.NoPurposes {
		return ""
	}
	return p.Name
}

// plantGenerated puts a file at the provider that the provider made itself.
func (r *run) plantGenerated(content string) simulator.RemoteFile {
	return r.remote.Put(simulator.RemoteFile{ID: "file-" + rand.Text(), Name: "made.txt", Head: []byte(content), Generated: true})
}
