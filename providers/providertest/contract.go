package providertest

import (
	"cmp"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"casgate/providers"
	"casgate/providers/simulator"
)

func testDescription(t *testing.T, r *run) {
	d := r.description
	if d.Provider == "" || d.Host == "" {
		t.Errorf("provider %q, host %q", d.Provider, d.Host)
	}
	if !strings.Contains(d.Account, d.Host) {
		t.Errorf("the account %q doesn't tell its host %q", d.Account, d.Host)
	}
	r.wantNoSecret(t, "the description", fmt.Sprintf("%+v", d))
	if again := r.Describe(); again.Account != d.Account || len(again.Purposes) != len(d.Purposes) {
		t.Errorf("described again it is %+v", again)
	}
	if len(d.Purposes) == 0 {
		t.Fatal("no purposes")
	}
	seen := map[string]bool{}
	for _, p := range d.Purposes {
		if p.Name == "" || seen[p.Name] {
			t.Errorf("purpose %q: without a name, or repeated", p.Name)
		}
		seen[p.Name] = true
		for _, ext := range p.Extensions {
			if !strings.HasPrefix(ext, ".") || ext != strings.ToLower(ext) {
				t.Errorf("%s: extension %q is not lower-case with its dot", p.Name, ext)
			}
		}
		for ext, size := range p.SizeOf {
			if size <= 0 || len(p.Extensions) > 0 && !slices.Contains(p.Extensions, ext) {
				t.Errorf("%s: a limit of %d bytes for %s", p.Name, size, ext)
			}
		}
		for _, mediaType := range p.MediaTypes {
			if got, err := d.Purpose("", strings.Replace(mediaType, "/*", "/x-any", 1)); err != nil || got.Name == "" {
				t.Errorf("%s: no default for %s: %v", p.Name, mediaType, err)
			}
		}
		if p.MaxSize < 0 || p.MaxFiles < 0 || p.MaxBytes < 0 || p.LifetimeSeconds < 0 {
			t.Errorf("%s: a limit below zero: %+v", p.Name, p)
		}
		if err := d.Check(p, extensionOf(p), 10); err != nil {
			t.Errorf("%s refuses a %s of 10 bytes: %v", p.Name, extensionOf(p), err)
		}
	}
}

func testRoundTrip(t *testing.T, r *run) {
	for _, p := range r.description.Purposes {
		t.Run(p.Name, func(t *testing.T) {
			extension := extensionOf(p)
			c := fitting(extension)
			name := "round trip " + rand.Text() + extension
			uploaded, err := r.Upload(t.Context(), c.upload(p, name))
			if err != nil {
				t.Fatal(err)
			}
			c.wantDone(t)
			kept := slices.DeleteFunc(r.remote.Files(), func(f simulator.RemoteFile) bool { return f.ID != uploaded.ID })
			if len(kept) != 1 || kept[0].Name != name || kept[0].Size != c.size || kept[0].Purpose != r.remotePurpose(p) || kept[0].Digest != c.digest(t) {
				t.Fatalf("uploaded %s of %d bytes as %s; the provider has %+v", name, c.size, p.Name, kept)
			}
			want := providers.RemoteFile{ID: kept[0].ID, Name: name, Size: c.size, Purpose: p.Name, Status: providers.StatusReady}
			r.wantFile(t, uploaded, want)
			if !p.Unlisted {
				files := r.mustList(t, p.Name)
				if len(files) != 1 {
					t.Fatalf("listed: %+v", files)
				}
				r.wantFile(t, files[0], want)
			}
			if err := r.Delete(t.Context(), uploaded.ID); err != nil {
				t.Fatal(err)
			}
			if files := r.remote.Files(); len(files) > 0 {
				t.Errorf("after the delete there is %+v", files)
			}
		})
	}
}

// wantFile compares the fields that every provider returns for a file.
func (r *run) wantFile(t *testing.T, got, want providers.RemoteFile) {
	t.Helper()
	if got.ID != want.ID || got.Name != want.Name || got.Size != want.Size || got.Purpose != want.Purpose || got.Status != want.Status {
		t.Errorf("got %+v; want %+v", got, want)
	}
	if kept := cmp.Or(got.CreatedAt.Unix(), 0); !got.CreatedAt.IsZero() && kept < 1_600_000_000 {
		t.Errorf("created at %s", got.CreatedAt)
	}
}

func testNames(t *testing.T, r *run) {
	p := r.listed()
	extension := extensionOf(p)
	for _, base := range []string{
		"plain", "with  two spaces", "年度报告（终稿）", "emoji 😀🇨🇳 e\u0301", "it's", "100% %41%0a%00", "a;b=c&d,e+f#g?h",
		"semi; filename=other", "dots.in..name", "-rf", "(1)", strings.Repeat("长", 60) + strings.Repeat("x", 20), strings.Repeat("y", 200),
	} {
		c := fitting(extension)
		before := r.remote.Uploads()
		f, err := r.Upload(t.Context(), c.upload(p, base+extension))
		if strings.ContainsAny(base, r.ForbiddenInNames) {
			r.wantError(t, err, providers.OpUpload, providers.KindPermanent)
			if r.remote.Uploads() != before {
				t.Errorf("%q was refused, and uploaded", base)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q: %v", base, err)
			continue
		}
		if f.Name != base+extension {
			t.Errorf("%q came back as %q", base+extension, f.Name)
		}
		files := r.remote.Files()
		if got := files[len(files)-1]; got.Name != base+extension || got.Digest != c.digest(t) {
			t.Errorf("%q arrived as %q", base+extension, got.Name)
		}
	}
}

// Names with characters that could break a form. RemoteName removes them, so an
// adapter may refuse such names or change them.
func testEvilNames(t *testing.T, r *run) {
	p := r.listed()
	extension := extensionOf(p)
	for _, base := range []string{
		"a\r\nX-Evil: 1", "a\r\n\r\nbody", "a\nb", "a\rb", "a\x00b", `quo"ted`, `a"; filename="b`, `back\slash`, "\xff\xfe",
		"a\r\n--boundary\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nevil",
	} {
		before := r.remote.Uploads()
		c := fitting(extension)
		_, err := r.Upload(t.Context(), c.upload(p, base+extension))
		c.wantDone(t)
		if err != nil {
			r.wantError(t, err, providers.OpUpload, providers.KindPermanent)
			if r.remote.Uploads() != before {
				t.Errorf("%q was refused, and uploaded", base)
			}
			continue
		}
		files := r.remote.Files()
		got := files[len(files)-1]
		if got.Digest != c.digest(t) || got.Purpose != r.remotePurpose(p) || strings.ContainsAny(got.Name, "\r\n") {
			t.Errorf("%q arrived as %q with purpose %q and %d bytes; want %d bytes", base, got.Name, got.Purpose, got.Size, c.size)
		}
		if order := r.remote.LastUpload().Order; len(order) > 2 && slices.Contains(order[:len(order)-1], order[len(order)-1]) {
			t.Errorf("%q made a form of %q", base, order)
		}
	}
}

func testUnknownPurpose(t *testing.T, r *run) {
	c := fitting(".txt")
	_, err := r.Upload(t.Context(), c.upload(providers.Purpose{Name: "no-such-purpose"}, "a.txt"))
	r.wantError(t, err, providers.OpUpload, providers.KindPermanent)
	c.wantDone(t)
	if files := r.remote.Files(); len(files) > 0 {
		t.Errorf("there is %+v", files)
	}
}

func testParallel(t *testing.T, r *run) {
	p := r.listed()
	var wg sync.WaitGroup
	const writers, each = 8, 4
	for range writers {
		wg.Go(func() {
			for range each {
				extension := extensionOf(p)
				c := fitting(extension)
				f, err := r.Upload(t.Context(), c.upload(p, rand.Text()+extension))
				if err != nil {
					t.Errorf("upload: %v", err)
					return
				}
				for _, err := range r.List(t.Context(), p.Name) {
					if err != nil {
						t.Errorf("list: %v", err)
					}
				}
				if err := r.Delete(t.Context(), f.ID); err != nil {
					t.Errorf("delete: %v", err)
				}
			}
		})
	}
	wg.Wait()
	if n, left := r.remote.Uploads(), r.remote.Files(); n != writers*each || len(left) > 0 {
		t.Errorf("%d uploads arrived, %d files are left; want %d and none", n, len(left), writers*each)
	}
}

func testForm(t *testing.T, r *run) {
	p := r.listed()
	f := r.mustUpload(t, p)
	got := r.remote.LastUpload()
	if !r.fitsContentLength(got.ContentLength, f.Size) {
		t.Errorf("the request's Content-Length is %d for a file of %d bytes", got.ContentLength, f.Size)
	}
	want := 2
	if r.NoPurposes {
		want = 1
	}
	if purpose, named := got.Fields["purpose"]; purpose != r.remotePurpose(p) || named == r.NoPurposes {
		t.Errorf("the form's fields are %v", got.Fields)
	}
	if len(got.Order) < want {
		t.Errorf("the form's parts are %v", got.Order)
	}
	if r.remote.Requests(providers.OpUpload) != 1 {
		t.Errorf("%d requests for one upload", r.remote.Requests(providers.OpUpload))
	}
}

// fitsContentLength reports whether the Content-Length of an upload's request can be right
// for a file of this size: a form is longer than the file.
func (r *run) fitsContentLength(length, size int64) bool {
	if r.PlainUploads {
		return length == size
	}
	return length > size
}
