package gateway_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"casgate/cas"
	"casgate/cas/access"
	"casgate/gateway/api"
	"casgate/gateway/client"
	"casgate/gateway/problem"
	"casgate/index/indextest"
	"casgate/providers"
	"casgate/providers/ledger"
	"casgate/providers/replicator"
)

// states tells the states of copies.
func states(copies []api.Copy) string {
	var all []string
	for _, c := range copies {
		all = append(all, c.Provider+" "+c.State)
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

// deleteEverywhere deletes a file everywhere, and wants this status.
func (s *server) deleteEverywhere(id string, status int) api.FileDeletedEverywhere {
	s.t.Helper()
	a := s.do("DELETE", "/v1/files/"+id+"?everywhere=true", nil)
	if a.StatusCode != status {
		s.t.Fatalf("%d %s; want %d", a.StatusCode, a.body, status)
	}
	gone := decode[api.FileDeletedEverywhere](s.t, a)
	if gone.ID != id || gone.Object != "file" || !gone.Deleted || gone.Copies == nil {
		s.t.Errorf("%s", a.body)
	}
	s.do("GET", "/v1/files/"+id, nil).wantFileError(s.t, 404, problem.FileNotFound, "id")
	return gone
}

func TestDeleteFileEverywhere(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s, kimi := startCopier(t, p, nil, nil)
		first, second := s.newFile("first.txt", "some text"), s.newFile("second.txt", "some text")
		d := first.Digest()
		s.ensure(d, "kimi")
		s.ensure(d, "glm")

		// Another file has the same bytes.
		gone := s.deleteEverywhere(first.ID, 200)
		if gone.Blob.Digest != d || gone.Blob.State != api.BlobKept || gone.Blob.Reason == "" || states(gone.Copies) != "glm ready, kimi ready" {
			t.Errorf("%+v", gone)
		}
		s.wantBlob([]byte("some text"))
		if len(kimi.ids()) != 1 {
			t.Error("the copy was deleted, and another file needs it")
		}

		// The last one.
		gone = s.deleteEverywhere(second.ID, 200)
		if gone.Blob.State != "condemned" || gone.Blob.Reason != "" || states(gone.Copies) != "glm deleted, kimi deleted" || len(kimi.ids()) != 0 {
			t.Errorf("%+v; at Kimi there are %v", gone, kimi.ids())
		}
		s.do("GET", s.path(d), nil).wantProblem(t, 404, problem.BlobNotFound)
		s.do("GET", s.path(d)+"/copies", nil).wantProblem(t, 404, problem.BlobNotFound)
		s.do("DELETE", "/v1/files/"+second.ID+"?everywhere=true", nil).wantFileError(t, 404, problem.FileNotFound, "id")

		// One without copies, of bytes that were deleted before; and they can come back.
		third := s.newFile("third.txt", "some text")
		if gone := s.deleteEverywhere(third.ID, 200); len(gone.Copies) != 0 || gone.Blob.State != "condemned" {
			t.Errorf("%+v", gone)
		}
		fourth := s.newFile("fourth.txt", "some text")
		if made := decode[api.Copy](t, s.do("PUT", s.fileCopyPath(fourth.ID, "kimi"), nil)); made.State != "ready" {
			t.Errorf("%+v", made)
		}
		s.do("DELETE", s.path(d)+"?force=true", nil)
		if gone := s.deleteEverywhere(fourth.ID, 200); gone.Blob.State != "condemned" || states(gone.Copies) != "kimi deleted" {
			t.Errorf("its blob was deleted by force before: %+v", gone)
		}
		s.do("DELETE", "/v1/files/"+third.ID+"?everywhere=perhaps", nil).wantFileError(t, 400, problem.InvalidRequest, "everywhere")
		wantNoPanic(t, s)
	})
}

func TestDeleteEverywhereIsNotSaidToBeDoneBeforeItIs(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s, kimi := startCopier(t, p, nil, nil)
		c := s.client()
		down := &providers.Error{Provider: "kimi", Op: providers.OpDelete, Kind: providers.KindTransient, Status: 503}

		file := s.newFile("a.txt", "a")
		s.ensure(file.Digest(), "kimi")
		s.ensure(file.Digest(), "glm")
		kimi.breaks(providers.OpDelete, down)
		a := s.do("DELETE", "/v1/files/"+file.ID+"?everywhere=true", nil, "Prefer", "wait=1")
		path := s.operationOf(a)
		if gone := decode[api.FileDeletedEverywhere](t, a); states(gone.Copies) != "glm deleted, kimi deleting" || gone.Blob.State != "condemned" {
			t.Errorf("%s", a.body)
		}
		if o := decode[api.Operation](t, s.do("GET", path, nil)); o.Kind != api.OperationDelete || o.Status != api.OperationRunning || o.Copy.Provider != "kimi" {
			t.Errorf("%+v", o)
		}
		// The client waits for it.
		file = s.newFile("b.txt", "b")
		s.ensure(file.Digest(), "kimi")
		answered := make(chan api.FileDeletedEverywhere, 1)
		go func() {
			gone, err := c.File(file.ID).DeleteEverywhere(t.Context(), client.EverywhereOptions{})
			if err != nil {
				t.Error(err)
			}
			answered <- gone
		}()
		eventually(t, "the file to be gone", func() bool { return s.do("GET", "/v1/files/"+file.ID, nil).StatusCode == 404 })
		select {
		case gone := <-answered:
			t.Errorf("answered %+v, and the provider has not confirmed it", gone)
		default:
		}
		kimi.breaks(providers.OpDelete, nil)
		if gone := <-answered; states(gone.Copies) != "kimi deleted" {
			t.Errorf("%+v", gone)
		}
		if o := s.waitOperation(path); o.Status != api.OperationSucceeded || len(kimi.ids()) != 0 {
			t.Errorf("%+v; there are still %v", o, kimi.ids())
		}

		// A client that doesn't want to wait gets the operation at once.
		file = s.newFile("c.txt", "c")
		s.ensure(file.Digest(), "kimi")
		kimi.breaks(providers.OpDelete, down)
		gone, err := c.File(file.ID).DeleteEverywhere(t.Context(), client.EverywhereOptions{Async: true})
		if err != nil || states(gone.Copies) != "kimi deleting" {
			t.Errorf("%+v, %v", gone, err)
		}
		kimi.breaks(providers.OpDelete, nil)
		if o, err := c.WaitOperation(t.Context(), gone.Copies[0].OperationID); err != nil || o.Status != api.OperationSucceeded {
			t.Errorf("%+v, %v", o, err)
		}
		wantNoPanic(t, s)
	})
}

// A delete waits as long as its request prefers, also after a first attempt that the provider
// has not confirmed.
func TestDeleteEverywhereWaitsAsPreferred(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s, kimi := startCopier(t, p, nil, nil)
		paths := map[string]func(api.File) string{
			"a file": func(f api.File) string { return "/v1/files/" + f.ID },
			"a blob": func(f api.File) string { s.do("DELETE", "/v1/files/"+f.ID, nil); return s.path(f.Digest()) },
		}
		failures := map[string]*providers.Error{
			"says that it deleted nothing": {Provider: "kimi", Op: providers.OpDelete, Kind: providers.KindLost, Status: 200, Code: providers.CodeNotDeleted},
			"gives no answer":              {Provider: "kimi", Op: providers.OpDelete, Kind: providers.KindUnknown, Code: providers.CodeConnection},
		}
		for what, path := range paths {
			for how, failure := range failures {
				file := s.newFile("a.txt", what+how)
				s.ensure(file.Digest(), "kimi")
				before := kimi.count(providers.OpDelete)
				kimi.breaks(providers.OpDelete, failure)
				confirmed := make(chan struct{})
				go func() {
					defer close(confirmed)
					eventually(t, "the first attempt", func() bool { return kimi.count(providers.OpDelete) > before })
					kimi.breaks(providers.OpDelete, nil)
				}()
				a := s.do("DELETE", path(file)+"?everywhere=true", nil, "Prefer", "wait=60")
				<-confirmed
				if gone := decode[api.DeletedEverywhere](t, a); a.StatusCode != 200 || states(gone.Copies) != "kimi deleted" || a.Header.Get("Preference-Applied") != "wait=60" {
					t.Errorf("%s, and the provider %s: %d %v %s", what, how, a.StatusCode, a.Header, a.body)
				}
			}
			file := s.newFile("a.txt", what)
			s.ensure(file.Digest(), "kimi")
			kimi.breaks(providers.OpDelete, failures["gives no answer"])
			began := time.Now()
			a := s.do("DELETE", path(file)+"?everywhere=true", nil, "Prefer", "wait=2")
			kimi.breaks(providers.OpDelete, nil)
			if took := time.Since(began); a.StatusCode != 202 || took < 2*time.Second || a.Header.Get("Preference-Applied") != "wait=2" {
				t.Errorf("%s, and no attempt succeeds: %d after %s, %v %s", what, a.StatusCode, took, a.Header, a.body)
			}
			if o := s.waitOperation(s.operationOf(a)); o.Status != api.OperationSucceeded {
				t.Errorf("%+v", o)
			}
		}
		wantNoPanic(t, s)
	})
}

// A copy at an account without a key stays "deleting" until there is a key.
func TestDeleteEverywhereWithoutAKey(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s, _ := startCopier(t, p, nil, nil)
		file := s.newFile("a.txt", "some text")
		wanted := ledger.Wanted{
			Key:  ledger.Key{Digest: file.Digest(), Provider: "kimi", Account: providers.Account("kimi", "api.example", "an earlier key"), Purpose: "file-extract", Extension: ".txt"},
			Name: "a.txt", MediaType: "text/plain", Size: 9, OperationID: "earlier",
		}
		if _, _, err := p.index.Change(t.Context(), ledger.Enter(wanted, "file_1")); err != nil {
			t.Fatal(err)
		}
		// A delete of the copy alone finds it as well as the list does.
		if a := s.do("DELETE", s.copyPath(file.Digest(), "kimi"), nil); a.StatusCode != 202 || !strings.Contains(string(a.body), "cas copies move-account kimi --from "+wanted.Account) {
			t.Errorf("%d %s", a.StatusCode, a.body)
		}
		began := time.Now()
		a := s.do("DELETE", "/v1/files/"+file.ID+"?everywhere=true", nil, "Prefer", "wait=60")
		if took := time.Since(began); took > 30*time.Second {
			t.Errorf("the delete has waited %s for a key", took)
		}
		gone := decode[api.FileDeletedEverywhere](t, a)
		if a.StatusCode != 202 || states(gone.Copies) != "kimi deleting" || gone.Copies[0].Error == nil || gone.Copies[0].Error.Hint == "" {
			t.Errorf("%d %s", a.StatusCode, a.body)
		}
		// The client doesn't wait for a copy that needs an operator first.
		other := s.newFile("b.txt", "some text")
		answer, err := s.client().File(other.ID).DeleteEverywhere(t.Context(), client.EverywhereOptions{})
		if err == nil || states(answer.Copies) != "kimi deleting" || !answer.Deleted {
			t.Errorf("%+v, %v", answer, err)
		}
		row, err := p.index.Copy(t.Context(), wanted.Key)
		if err != nil || row.State != ledger.StateDeleting || row.FileID != "file_1" {
			t.Errorf("%+v, %v", row, err)
		}
	})
}

// One operation deletes several copies. Each keeps its own error, and the client waits for
// those that the gateway can delete by itself.
func TestDeleteEverywhereTellsEachCopysOwnError(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s, kimi := startCopier(t, p, nil, nil)
		enter := func(d cas.Digest, provider string) {
			t.Helper()
			wanted := ledger.Wanted{
				Key:  ledger.Key{Digest: d, Provider: provider, Account: providers.Account(provider, "api.example", "an earlier key"), Purpose: "file-extract", Extension: ".txt"},
				Name: "a.txt", MediaType: "text/plain", Size: 9, OperationID: "earlier",
			}
			if _, _, err := p.index.Change(t.Context(), ledger.Enter(wanted, "file_1")); err != nil {
				t.Fatal(err)
			}
		}
		c := s.client()
		wantHints := func(copies []api.Copy, err error) {
			t.Helper()
			waiting := 0
			for _, one := range copies {
				if one.State != api.CopyDeleting {
					continue
				}
				waiting++
				want := "move-account " + one.Provider + " --from " + one.Account
				if one.Error == nil || !strings.Contains(one.Error.Hint, want) {
					t.Errorf("the copy at %s has the error %+v; want a hint with %q", one.Provider, one.Error, want)
				}
			}
			if waiting == 0 || waiting != strings.Count(fmt.Sprint(err), "is not deleted") {
				t.Errorf("%d copies are not deleted, and the error is %v", waiting, err)
			}
		}
		d := s.putNamed("some text", "a.txt")
		for _, provider := range []string{"kimi", "glm", "qwen"} {
			enter(d, provider)
		}
		gone, err := c.Blob(d).DeleteEverywhere(t.Context(), client.EverywhereOptions{})
		wantHints(gone.Copies, err)
		if states(gone.Copies) != "glm deleting, kimi deleting, qwen deleting" {
			t.Errorf("%+v", gone.Copies)
		}

		d = s.putNamed("more text", "a.txt")
		s.ensure(d, "kimi")
		enter(d, "glm")
		kimi.breaks(providers.OpDelete, &providers.Error{Provider: "kimi", Op: providers.OpDelete, Kind: providers.KindTransient, Status: 503})
		answered := make(chan struct{})
		go func() {
			defer close(answered)
			gone, err = c.Blob(d).DeleteEverywhere(t.Context(), client.EverywhereOptions{})
		}()
		eventually(t, "the client to ask again", func() bool { return len(kimi.ids()) == 1 && s.do("GET", s.path(d), nil).StatusCode == 404 })
		select {
		case <-answered:
			t.Errorf("answered %+v, %v, and Kimi may still confirm", gone.Copies, err)
		default:
		}
		kimi.breaks(providers.OpDelete, nil)
		<-answered
		wantHints(gone.Copies, err)
		if states(gone.Copies) != "glm deleting, kimi deleted" {
			t.Errorf("%+v", gone.Copies)
		}
	})
}

func TestDeleteBlobEverywhere(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s, kimi := startCopier(t, p, nil, nil)
		c := s.client()
		d := s.putNamed("some text", "x.txt")
		s.ensure(d, "kimi")
		path := s.path(d) + "?everywhere=true"
		file := s.newFile("x.txt", "some text")
		if p := s.do("DELETE", path, nil).wantProblem(t, 409, problem.BlobInUse); !strings.Contains(p.Detail, file.ID) || len(kimi.ids()) != 1 {
			t.Errorf("%+v", p)
		}
		s.do("DELETE", "/v1/files/"+file.ID, nil)
		a := s.do("DELETE", path, nil)
		gone := decode[api.DeletedEverywhere](t, a)
		if a.StatusCode != 200 || gone.State != cas.StateCondemned || states(gone.Copies) != "kimi deleted" || len(kimi.ids()) != 0 {
			t.Errorf("%d %s", a.StatusCode, a.body)
		}
		s.do("GET", s.path(d), nil).wantProblem(t, 404, problem.BlobNotFound)
		s.do("DELETE", path, nil).wantProblem(t, 404, problem.BlobNotFound)

		// A file that was deleted without its copies can still be deleted everywhere.
		d = s.putNamed("other text", "x.txt")
		s.ensure(d, "kimi")
		s.do("DELETE", s.path(d), nil)
		if gone, err := c.Blob(d).DeleteEverywhere(t.Context(), client.EverywhereOptions{}); err != nil || states(gone.Copies) != "kimi deleted" || len(kimi.ids()) != 0 {
			t.Errorf("%+v, %v", gone, err)
		}
		// By force the files' bytes go as well.
		file = s.newFile("x.txt", "other text")
		s.ensure(d, "glm")
		if gone, err := c.Blob(d).DeleteEverywhere(t.Context(), client.EverywhereOptions{Force: true}); err != nil || states(gone.Copies) != "glm deleted" {
			t.Errorf("%+v, %v", gone, err)
		}
		s.do("GET", "/v1/files/"+file.ID+"/content", nil).wantFileError(t, 404, problem.BlobNotFound, "")
		s.do("DELETE", s.path(d)+"?everywhere=2", nil).wantProblem(t, 400, problem.InvalidRequest)
		wantNoPanic(t, s)
	})
}

// text returns the digest of the text that Kimi extracts from a blob.
func (s *server) text(d cas.Digest) cas.Digest {
	s.t.Helper()
	a := s.do("GET", s.path(d)+"/text", nil)
	if a.StatusCode != 200 {
		s.t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	text := cas.DigestOf(a.body)
	s.wantBlob(a.body)
	return text
}

// wantTexts fails the test unless the answer lists exactly these texts.
func wantTexts(t *testing.T, what string, got []api.ReleasedText, want ...api.ReleasedText) {
	t.Helper()
	if got == nil || !slices.Equal(got, want) {
		t.Errorf("%s are %+v; want %+v", what, got, want)
	}
}

// The texts extracted from a blob go with it, unless something else needs them.
func TestDeleteEverywhereDeletesTexts(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s, _ := startCopier(t, p, nil, nil)
		file := s.newFile("alone.txt", "alone")
		text := s.text(file.Digest())
		gone := s.deleteEverywhere(file.ID, 200)
		wantTexts(t, "the texts", gone.Texts, []api.ReleasedText{{Digest: text, State: "condemned"}}...)
		s.do("GET", s.path(text), nil).wantProblem(t, 404, problem.BlobNotFound)

		// Of two blobs with the same text, the last one takes it along.
		first, second := s.putNamed("Shared", "x.txt"), s.putNamed("shared", "x.txt")
		shared := s.text(first)
		if s.text(second) != shared {
			t.Fatal("the texts differ")
		}
		for _, state := range []string{api.BlobKept, "condemned"} {
			a := s.do("DELETE", s.path(first)+"?everywhere=true", nil)
			gone := decode[api.DeletedEverywhere](t, a)
			wantTexts(t, "the texts", gone.Texts, []api.ReleasedText{{Digest: shared, State: state}}...)
			first = second
		}
		s.do("GET", s.path(shared), nil).wantProblem(t, 404, problem.BlobNotFound)

		// A text to which a file refers stays, and so do all if the blob stays.
		d := s.putNamed("needed", "x.txt")
		needed := s.text(d)
		s.newFile("needed-too.txt", "NEEDED")
		one, other := s.newFile("one.txt", "needed"), s.newFile("other.txt", "needed")
		wantTexts(t, "the texts of a blob that stays", s.deleteEverywhere(one.ID, 200).Texts, []api.ReleasedText{}...)
		wantTexts(t, "the texts", s.deleteEverywhere(other.ID, 200).Texts, []api.ReleasedText{{Digest: needed, State: api.BlobKept}}...)
		s.wantBlob([]byte("NEEDED"))
		wantNoPanic(t, s)
	})
}

func TestDeleteEverywhereNeedsBothScopes(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s, _ := startCopier(t, p, nil, nil)
		file := s.newFile("a.txt", "some text")
		for _, scopes := range [][]access.Scope{{access.ScopeDelete}, {access.ScopeSync}, {access.ScopeRead, access.ScopeWrite}} {
			token := "Bearer " + s.newToken(scopes...)
			s.do("DELETE", "/v1/files/"+file.ID+"?everywhere=true", nil, "Authorization", token).wantFileError(t, 403, problem.Forbidden, "")
			s.do("DELETE", s.path(file.Digest())+"?everywhere=true", nil, "Authorization", token).wantProblem(t, 403, problem.Forbidden)
		}
		token := "Bearer " + s.newToken(access.ScopeDelete, access.ScopeSync)
		if a := s.do("DELETE", "/v1/files/"+file.ID+"?everywhere=true", nil, "Authorization", token); a.StatusCode != 200 {
			t.Errorf("%d %s", a.StatusCode, a.body)
		}
	})
}

// A file that takes its blob along when it expires needs the scopes of such a delete.
func TestOnExpiryNeedsBothScopes(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		s, _ := startCopier(t, p, nil, nil)
		form := func(scopes ...access.Scope) answer {
			body, mediaType := formOf(t, field("purpose", "batch"), field("expires_after[seconds]", "3600"), field("on_expiry", "everywhere"), filePart("a.txt", "x"))
			return s.do("POST", "/v1/files", body, "Content-Type", mediaType, "Authorization", "Bearer "+s.newToken(append(scopes, access.ScopeWrite)...))
		}
		form().wantFileError(t, 403, problem.Forbidden, "on_expiry")
		form(access.ScopeDelete).wantFileError(t, 403, problem.Forbidden, "on_expiry")
		a := form(access.ScopeDelete, access.ScopeSync)
		if made := decode[api.File](t, a); a.StatusCode != 200 || made.OnExpiry != cas.OnExpiryEverywhere {
			t.Errorf("%d %s", a.StatusCode, a.body)
		}
		made, err := s.client().CreateFile(t.Context(), strings.NewReader("y"), client.NewFile{
			Name: "b.txt", Purpose: "batch", Life: time.Hour, OnExpiry: cas.OnExpiryEverywhere,
		})
		if err != nil || made.OnExpiry != cas.OnExpiryEverywhere {
			t.Errorf("%+v, %v", made, err)
		}
	})
}

// An index fails in the middle: the steps that had begun are finished, and the other
// steps can be requested again.
func TestDeleteEverywhereIsCutShort(t *testing.T) {
	t.Parallel()
	for name, applied := range map[string]bool{"before the file is gone": false, "after it": true} {
		t.Run(name, func(t *testing.T) {
			setups(t, func(t *testing.T, p *parts) {
				failing := false
				x := p.index
				p.index = overlay{x, indextest.NewFaultyFiles(x, func(op string, _ cas.Digest) (bool, error) {
					if op == indextest.OpReleaseFile && failing {
						return applied, cas.ErrIndexUnavailable
					}
					return false, nil
				}), x, x, x, x}
				s, kimi := startCopier(t, p, nil, nil)
				file := s.newFile("a.txt", "some text")
				s.ensure(file.Digest(), "kimi")
				failing = true
				path := "/v1/files/" + file.ID + "?everywhere=true"
				s.do("DELETE", path, nil).wantFileError(t, 503, problem.IndexUnavailable, "")
				failing = false
				eventually(t, "the copy to be deleted nevertheless", func() bool { return len(kimi.ids()) == 0 })
				again := s.do("DELETE", path, nil)
				if applied {
					again.wantFileError(t, 404, problem.FileNotFound, "id")
				} else if again.StatusCode != 200 && again.StatusCode != 202 { // the delete before it may still be writing its end
					t.Errorf("again: %d %s", again.StatusCode, again.body)
				}
				s.do("GET", s.path(file.Digest()), nil).wantProblem(t, 404, problem.BlobNotFound)
				s.do("PUT", s.copyPath(file.Digest(), "kimi"), nil).wantProblem(t, 404, problem.BlobNotFound)
				s.wantReconciled("kimi")
			})
		})
	}
}

// An imported file goes with the copy that the old manager has noted, which is known
// by the bytes: they are taken in first. One without such a copy just goes.
func TestDeleteImportedFileEverywhere(t *testing.T) {
	setups(t, func(t *testing.T, p *parts) {
		lies := &drawer{objects: map[string]string{"noted.txt": "noted", "plain.txt": "plain"}, opened: map[string]int{}}
		p.sources = []cas.Source{lies}
		var enter func(context.Context, cas.File) error
		p.adopt = func(ctx context.Context, f cas.File) error { return enter(ctx, f) }
		s, kimi := startCopier(t, p, nil, nil)
		enter = func(ctx context.Context, f cas.File) error {
			return s.copies.Enter(ctx, replicator.Request{Digest: f.Digest, Provider: f.Origin.Provider, Name: f.Name, OperationID: "import"}, f.Origin.ProviderFileID)
		}
		var noted providers.RemoteFile
		kimi.change(func() {
			noted = providers.RemoteFile{ID: "file_of_old", Name: "noted.txt", Size: 5, Purpose: "file-extract", Status: providers.StatusReady}
			kimi.files[noted.ID] = noted
		})
		f := cas.File{
			ID: cas.NewFileID(), Size: 5, Name: "noted.txt", Purpose: "user_data", CreatedAt: time.Now(),
			Origin: &cas.Origin{Source: "drawer", Key: "noted.txt", Provider: "kimi", ProviderFileID: noted.ID},
		}
		if _, err := p.index.ImportFiles(t.Context(), []cas.File{f}, cas.ImportFilesOptions{}); err != nil {
			t.Fatal(err)
		}
		gone := s.deleteEverywhere(f.ID, 200)
		if states(gone.Copies) != "kimi deleted" || gone.Blob.State != "condemned" || len(kimi.ids()) != 0 {
			t.Errorf("%+v; there are still %v", gone, kimi.ids())
		}
		plain := p.imported(t, "plain.txt", 5, cas.Digest{})
		if gone := s.deleteEverywhere(plain, 200); gone.Blob != nil || len(gone.Copies) != 0 || lies.opened["plain.txt"] != 0 {
			t.Errorf("%+v; its bytes were read %d times", gone, lies.opened["plain.txt"])
		}
	})
}
