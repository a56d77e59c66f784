package indextest

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"casgate/cas"
	"casgate/cas/scrubber"
)

var modelTests = []test{
	{"agrees with the index through random histories", func(t *testing.T, x Index) {
		histories := 0
		rapid.Check(t, func(rt *rapid.T) {
			// Blobs of its own for each history; the index stays the same.
			histories++
			m := &model{t: t, x: x, rows: map[cas.Digest]cas.Blob{}, files: map[cas.Digest][]string{}, claims: map[cas.Digest]string{}, nextFile: 1000 * histories}
			for i := range 3 {
				m.blobs = append(m.blobs, cas.DigestOf(fmt.Appendf(nil, "%s %d %d", t.Name(), histories, i)))
			}
			rt.Repeat(map[string]func(*rapid.T){
				"touch":         m.touch,
				"commit":        m.commit,
				"upload":        m.upload,
				"condemn":       m.condemn,
				"suspect":       m.suspect,
				"trust":         m.trust,
				"startDeleting": m.startDeleting,
				"finish":        m.finishDeleting,
				"claim":         m.claim,
				"finishCheck":   m.finishCheck,
				"createFile":    m.createFile,
				"deleteFile":    m.deleteFile,
				"listFiles":     m.listFiles,
				"":              m.check,
			})
			m.leave(rt)
		})
	}},
}

// model implements the contract with a map.
type model struct {
	t     *testing.T
	x     Index
	blobs []cas.Digest // the blobs of this history
	rows  map[cas.Digest]cas.Blob
	files map[cas.Digest][]string // ids, the oldest first

	claims map[cas.Digest]string // of scrubs

	nextFile int
}

// pick draws one of the blobs.
func (m *model) pick(t *rapid.T) cas.Digest { return rapid.SampledFrom(m.blobs).Draw(t, "blob") }

// pickRef draws an object of one of the blobs, often that of its row.
func (m *model) pickRef(t *rapid.T) cas.ObjectRef {
	d := m.pick(t)
	return cas.ObjectRef{Digest: d, Generation: max(0, m.rows[d].Generation+rapid.Int32Range(-1, 1).Draw(t, "generation"))}
}

// agree fails unless the index returned the model's row, or its absence.
func (m *model) agree(t *rapid.T, what string, got cas.Blob, err error, want cas.Blob, found bool) {
	t.Helper()
	if !found {
		if !errors.Is(err, cas.ErrBlobNotFound) {
			t.Fatalf("%s returned %+v, error %v; want ErrBlobNotFound", what, got, err)
		}
		return
	}
	if err != nil || got != want {
		t.Fatalf("%s returned\n%+v, error %v; want\n%+v", what, got, err, want)
	}
}

func (m *model) touch(t *rapid.T) {
	d := m.pick(t)
	row, found := m.rows[d]
	got, err := m.x.Touch(m.t.Context(), d)
	m.agree(t, "Touch", got, err, row, found)
}

func (m *model) commit(t *rapid.T) {
	ref := m.pickRef(t)
	m.commitObject(t, ref)
}

// upload commits as an upload does, so that histories reach many states.
func (m *model) upload(t *rapid.T) {
	d := m.pick(t)
	ref := cas.ObjectRef{Digest: d}
	if row, found := m.rows[d]; found {
		ref = row.NextObject()
	}
	m.commitObject(t, ref)
}

func (m *model) commitObject(t *rapid.T, ref cas.ObjectRef) {
	b := cas.Blob{
		Digest:     ref.Digest,
		Generation: ref.Generation,
		Size:       size,
		MediaType:  rapid.SampledFrom([]string{"text/plain", "image/png"}).Draw(t, "media type"),
		Name:       rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "name"),
	}
	row, found := m.rows[ref.Digest]
	var wantCreated, newLife bool
	outdated := false // the row stays as it is, with the claim of a scrub
	switch row.State {
	case cas.StateDeleting, cas.StateGone:
		newLife = b.Generation > row.Generation
		outdated = !newLife
	case cas.StateSuspect:
		wantCreated = b.Generation >= row.Generation
		outdated = !wantCreated
		if wantCreated {
			row.State, row.Generation = cas.StateLive, b.Generation
		}
	case cas.StateLive, cas.StateCondemned:
		row.State = cas.StateLive
	default:
		newLife = !found
	}
	if newLife {
		wantCreated = true
		row = b
		row.State = cas.StateLive
	} else if row.State == cas.StateLive && row.Name == "" {
		row.Name = b.Name
	}
	got, created, err := m.x.Commit(m.t.Context(), b)
	if newLife && err == nil {
		if !got.CreatedAt.After(m.rows[ref.Digest].CreatedAt) {
			t.Fatalf("a new life began at %s, the last one at %s", got.CreatedAt, m.rows[ref.Digest].CreatedAt)
		}
		row.CreatedAt = got.CreatedAt
	}
	m.rows[ref.Digest] = row
	if !outdated {
		delete(m.claims, ref.Digest)
	}
	m.agree(t, "Commit", got, err, row, true)
	if created != wantCreated {
		t.Fatalf("Commit says created %v; want %v", created, wantCreated)
	}
}

func (m *model) condemn(t *rapid.T) {
	d := m.pick(t)
	force := rapid.Bool().Draw(t, "force")
	row := m.rows[d]
	var want error
	switch {
	case !row.State.Visible():
		want = cas.ErrBlobNotFound
	case len(m.files[d]) > 0 && !force:
		want = cas.ErrBlobInUse
	default:
		row.State = cas.StateCondemned
		m.rows[d] = row
	}
	if err := m.x.Condemn(m.t.Context(), d, cas.CondemnOptions{Force: force}); !errors.Is(err, want) {
		t.Fatalf("Condemn, forced %v: error %v; want %v", force, err, want)
	}
}

func (m *model) createFile(t *rapid.T) {
	d := m.pick(t)
	unique := rapid.Bool().Draw(t, "unique")
	m.nextFile++
	id := fileID(m.t, m.nextFile)
	var want error
	wantID := id
	switch {
	case !m.rows[d].State.Visible():
		want, wantID = cas.ErrBlobNotFound, ""
	case unique && len(m.files[d]) > 0:
		want, wantID = cas.ErrDuplicateFile, m.files[d][0]
	default:
		m.files[d] = append(m.files[d], id)
	}
	got, err := m.x.CreateFile(m.t.Context(), cas.NewFile{File: fileOf(m.t, m.nextFile, d), Unique: unique})
	if !errors.Is(err, want) || got.ID != wantID {
		t.Fatalf("CreateFile, unique %v: %q, error %v; want %q, error %v", unique, got.ID, err, wantID, want)
	}
}

func (m *model) listFiles(t *rapid.T) {
	d := m.pick(t)
	files, err := m.x.ListFiles(m.t.Context(), cas.FileQuery{Limit: 1000, Digest: d})
	if err != nil || !slices.Equal(ids(files), m.files[d]) {
		t.Fatalf("ListFiles returned %v, error %v; want %v", ids(files), err, m.files[d])
	}
}

func (m *model) deleteFile(t *rapid.T) {
	d := m.pick(t)
	if len(m.files[d]) == 0 {
		return
	}
	i := rapid.IntRange(0, len(m.files[d])-1).Draw(t, "file")
	f, err := m.x.DeleteFile(m.t.Context(), m.files[d][i])
	if err != nil || f.Digest != d {
		t.Fatalf("DeleteFile: %+v, error %v", f, err)
	}
	m.files[d] = slices.Delete(m.files[d], i, i+1)
}

func (m *model) suspect(t *rapid.T) {
	ref := m.pickRef(t)
	if row, found := m.rows[ref.Digest]; found && row.Object() == ref && row.State == cas.StateLive {
		row.State = cas.StateSuspect
		m.rows[ref.Digest] = row
	}
	if err := m.x.Suspect(m.t.Context(), ref); err != nil {
		t.Fatalf("Suspect: %v", err)
	}
}

func (m *model) trust(t *rapid.T) {
	ref := m.pickRef(t)
	if row, found := m.rows[ref.Digest]; found && row.Object() == ref && row.State == cas.StateSuspect {
		row.State = cas.StateLive
		m.rows[ref.Digest] = row
	}
	if err := m.x.Trust(m.t.Context(), ref); err != nil {
		t.Fatalf("Trust: %v", err)
	}
}

// claims are those of two scrubs.
var claims = rapid.SampledFrom([]string{"a", "b"})

func (m *model) claim(t *rapid.T) {
	d, id := m.pick(t), claims.Draw(t, "claim")
	var want []cas.Blob
	if row := m.rows[d]; row.State.Visible() {
		want = append(want, row)
		m.claims[d] = id
	}
	got, err := m.x.ClaimBlobs(m.t.Context(), scrubber.Claim{ID: id, Lease: time.Hour}, d)
	if err != nil || !slices.Equal(got, want) {
		t.Fatalf("ClaimBlobs returned %+v, error %v; want %+v", got, err, want)
	}
}

func (m *model) finishCheck(t *rapid.T) {
	ref, id := m.pickRef(t), claims.Draw(t, "claim")
	verdict := rapid.SampledFrom([]scrubber.Verdict{scrubber.VerdictRight, scrubber.VerdictHealed, scrubber.VerdictDamaged, scrubber.VerdictNone}).Draw(t, "verdict")
	row := m.rows[ref.Digest]
	var want []cas.ObjectRef
	if row.State.Visible() && row.Object() == ref && m.claims[ref.Digest] == id {
		want = append(want, ref)
		delete(m.claims, ref.Digest)
		switch verdict {
		case scrubber.VerdictHealed:
			row.State = cas.StateLive
		case scrubber.VerdictDamaged:
			row.State = cas.StateSuspect
		}
		m.rows[ref.Digest] = row
	}
	got, err := m.x.FinishChecks(m.t.Context(), id, scrubber.Check{ObjectRef: ref, Verdict: verdict})
	if err != nil || !slices.Equal(got, want) {
		t.Fatalf("FinishChecks of a %s object returned %v, error %v; want %v", verdict, got, err, want)
	}
}

func (m *model) startDeleting(t *rapid.T) {
	grace := rapid.SampledFrom([]time.Duration{0, 0, time.Hour}).Draw(t, "grace")
	var want []cas.ObjectRef
	for d, row := range m.rows {
		if row.State == cas.StateCondemned && grace == 0 {
			row.State = cas.StateDeleting
			m.rows[d] = row
			want = append(want, row.Object())
		}
	}
	got, err := StartDeleting(m.t.Context(), m.x, grace, 1000)
	if err != nil || !slices.Equal(sortRefs(got), sortRefs(want)) {
		t.Fatalf("StartDeleting took %v, error %v; want %v", got, err, want)
	}
}

func (m *model) finishDeleting(t *rapid.T) {
	ref := m.pickRef(t)
	if row, found := m.rows[ref.Digest]; found && row.Object() == ref && row.State == cas.StateDeleting {
		row.State = cas.StateGone
		m.rows[ref.Digest] = row
	}
	if err := m.x.FinishDeleting(m.t.Context(), ref); err != nil {
		t.Fatalf("FinishDeleting: %v", err)
	}
}

// check compares the rows that readers see, after every step.
func (m *model) check(t *rapid.T) {
	var want []cas.Digest
	for _, d := range m.blobs {
		row := m.rows[d]
		got, err := m.x.Blob(m.t.Context(), d)
		m.agree(t, "Blob", got, err, row, row.State.Visible())
		if row.State != cas.StateLive {
			want = append(want, d)
		}
	}
	got, err := m.x.Missing(m.t.Context(), m.blobs)
	if err != nil || !slices.Equal(got, want) {
		t.Fatalf("Missing returned %v, error %v; want %v", got, err, want)
	}
}

// leave takes the condemned blobs out of the way of the next history.
func (m *model) leave(t *rapid.T) {
	if _, err := StartDeleting(m.t.Context(), m.x, 0, 1000); err != nil {
		t.Fatalf("StartDeleting: %v", err)
	}
}
