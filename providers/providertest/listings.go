package providertest

import (
	"net/http"
	"testing"

	"casgate/providers"
	"casgate/providers/simulator"
)

func testListPages(t *testing.T, r *run) {
	p := r.listed()
	ids := r.plant(p, 1234)
	files := r.mustList(t, p.Name)
	for _, f := range files {
		if !ids[f.ID] {
			t.Errorf("%+v was listed, but the test did not put it there", f)
		}
		delete(ids, f.ID)
		if f.Name != f.ID+extensionOf(p) || f.Size != int64(len(f.ID)) || f.Purpose != p.Name {
			t.Fatalf("listed as %+v", f)
		}
	}
	if len(ids) > 0 {
		t.Errorf("%d of 1234 files were not listed", len(ids))
	}
}

func testListStops(t *testing.T, r *run) {
	p := r.listed()
	r.plant(p, 1234)
	for _, err := range r.List(t.Context(), p.Name) {
		if err != nil {
			t.Fatal(err)
		}
		break
	}
	if n := r.remote.Requests(providers.OpList); n != 1 {
		t.Errorf("%d requests for the first file", n)
	}
}

// testListFails has the listing fail at each of its requests.
func testListFails(t *testing.T, r *run) {
	p := r.listed()
	r.plant(p, 450)
	r.mustList(t, p.Name)
	requests := r.remote.Requests(providers.OpList)
	for i := range requests {
		r.remote.Fail(simulator.Fault{Op: providers.OpList, Skip: i, Times: 1, Kind: simulator.Refuse, Status: http.StatusServiceUnavailable, Message: "not now"})
		files, err := r.list(t, p.Name, 450)
		r.wantError(t, err, providers.OpList, providers.KindTransient, providers.KindUnknown)
		if i == 0 && len(files) > 0 {
			t.Errorf("the first request failed, after %d files", len(files))
		}
	}
}

// testListRepeats: a provider that always answers with its first page. The adapter must
// neither loop forever nor conclude that there are no more files.
func testListRepeats(t *testing.T, r *run) {
	p := r.listed()
	ids := r.plant(p, 450)
	r.remote.Fail(simulator.Fault{Op: providers.OpList, Kind: simulator.SamePage})
	n := 0
	for f, err := range r.List(t.Context(), p.Name) {
		if err != nil {
			r.wantError(t, err, providers.OpList)
			return
		}
		delete(ids, f.ID)
		if n++; n > 10_000 {
			t.Fatal("the listing doesn't end")
		}
	}
	if len(ids) > 0 && !r.NoHasMore {
		t.Errorf("the listing ended well, without %d of 450 files", len(ids))
	}
}

func testListPurposes(t *testing.T, r *run) {
	want := map[string]string{} // purpose by id
	for _, p := range r.description.Purposes {
		if !p.Unlisted {
			for id := range r.plant(p, 3) {
				want[id] = p.Name
			}
		}
	}
	for _, p := range r.description.Purposes {
		if p.Unlisted {
			if files, err := r.list(t, p.Name, 10); len(files) > 0 {
				t.Errorf("the purpose %s isn't listed, and its list has %+v (%v)", p.Name, files, err)
			}
			continue
		}
		files := r.mustList(t, p.Name)
		if len(files) != 3 {
			t.Errorf("%s: %d files were listed; want 3", p.Name, len(files))
		}
		for _, f := range files {
			if want[f.ID] != p.Name || f.Purpose != p.Name {
				t.Errorf("%s: listed %+v", p.Name, f)
			}
		}
	}
	for _, f := range r.mustList(t, "") {
		if want[f.ID] != f.Purpose {
			t.Errorf("listed %+v; want purpose %q", f, want[f.ID])
		}
		delete(want, f.ID)
	}
	if len(want) > 0 {
		t.Errorf("of all files these were not listed: %v", want)
	}
}

// testListWithoutSizes: a list may lack sizes. The files are there nevertheless, since a
// lost upload is found by its name.
func testListWithoutSizes(t *testing.T, r *run) {
	f := r.mustUpload(t, r.listed())
	r.remote.EditLists(simulator.WithoutSizes)
	if files := r.mustList(t, ""); len(files) != 1 || files[0].ID != f.ID || files[0].Name != f.Name || files[0].Size != 0 {
		t.Errorf("%+v is listed as %+v", f, files)
	}
}

// testListWithOtherPurposes: a list may give a file another purpose than its upload had.
// A list of all purposes has the file nevertheless.
func testListWithOtherPurposes(t *testing.T, r *run) {
	f := r.mustUpload(t, r.listed())
	for _, purpose := range []string{"some_other", r.description.Purposes[len(r.description.Purposes)-1].Name} {
		r.remote.EditLists(simulator.WithPurpose(purpose))
		if files := r.mustList(t, ""); len(files) != 1 || files[0].ID != f.ID || files[0].Name != f.Name {
			t.Errorf("with the purpose %s %+v is listed as %+v", purpose, f, files)
		}
	}
}
