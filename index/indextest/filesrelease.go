package indextest

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"casgate/cas"
)

// releaseFile releases and fails the test unless that goes as wanted.
func releaseFile(t testing.TB, x Index, id string, condemns bool) cas.File {
	t.Helper()
	f, condemned, err := x.ReleaseFile(t.Context(), id)
	if err != nil || condemned != condemns {
		t.Fatalf("ReleaseFile(%s): condemned %t, error %v; want %t", id, condemned, err, condemns)
	}
	return f
}

var releaseFileTests = []test{
	{"returns the file as it was, and condemns its blob with the last", func(t *testing.T, x Index) {
		for i, state := range []cas.State{cas.StateLive, cas.StateSuspect} {
			b := blob(digest(t, i), 0)
			arrange(t, x, b, state)
			f := createFile(t, x, fullFile(t, 10*i, b.Digest))
			stays := createFile(t, x, fullFile(t, 10*i+1, b.Digest))
			sameFile(t, "the file", releaseFile(t, x, f.ID, false), f)
			_, err := x.File(t.Context(), f.ID)
			noFile(t, "File", err)
			expect(t, x, b.Digest, state, 0)
			inUse(t, x, b.Digest)
			sameFile(t, "the last file", releaseFile(t, x, stays.ID, true), stays)
			expect(t, x, b.Digest, cas.StateCondemned, 0)
			_, err = x.File(t.Context(), stays.ID)
			noFile(t, "File", err)
		}
	}},
	{"counts no files that have expired", func(t *testing.T, x Index) {
		d := live(t, x, 0)
		expired(t, x, fileOf(t, 1, d))
		createFile(t, x, fileOf(t, 2, d))
		releaseFile(t, x, fileID(t, 2), true)
		expect(t, x, d, cas.StateCondemned, 0)
	}},
	{"leaves blobs unchanged that readers don't see", func(t *testing.T, x Index) {
		d := live(t, x, 0)
		f := createFile(t, x, fileOf(t, 1, d))
		if err := x.Condemn(t.Context(), d, cas.CondemnOptions{Force: true}); err != nil {
			t.Fatal(err)
		}
		sameFile(t, "the file", releaseFile(t, x, f.ID, false), f)
		expect(t, x, d, cas.StateCondemned, 0)
	}},
	{"releases pending files", func(t *testing.T, x Index) {
		importFiles(t, x, imported(t, 1))
		f := getFile(t, x, fileID(t, 1))
		sameFile(t, "the file", releaseFile(t, x, f.ID, false), f)
	}},
	{"finds no file that isn't there", func(t *testing.T, x Index) {
		d := live(t, x, 0)
		expired(t, x, fileOf(t, 1, d))
		for _, id := range []string{fileID(t, 0), fileID(t, 1), "", "file-\x00"} {
			_, _, err := x.ReleaseFile(t.Context(), id)
			noFile(t, fmt.Sprintf("ReleaseFile(%q)", id), err)
		}
		expect(t, x, d, cas.StateLive, 0)
	}},
	{"of many the last one condemns, and no file is left without its blob", func(t *testing.T, x Index) {
		for round := range rounds {
			d := live(t, x, round)
			const files = 4
			for n := range files {
				createFile(t, x, fileOf(t, 10*round+n, d))
			}
			var condemned atomic.Int32
			made := make([]error, 2)
			together(files+len(made), func(i int) {
				if i >= files {
					_, made[i-files] = x.CreateFile(t.Context(), cas.NewFile{File: fileOf(t, 10*round+i, d)})
					return
				}
				_, last, err := x.ReleaseFile(t.Context(), fileID(t, 10*round+i))
				if err != nil {
					t.Errorf("ReleaseFile: %v", err)
				}
				if last {
					condemned.Add(1)
				}
			})
			left := 0
			for _, err := range made {
				switch {
				case err == nil:
					left++
				case !errors.Is(err, cas.ErrBlobNotFound):
					t.Errorf("CreateFile: %v", err)
				}
			}
			switch {
			case left > 0 && condemned.Load() == 0:
				inUse(t, x, d)
			case left == 0 && condemned.Load() == 1:
				expect(t, x, d, cas.StateCondemned, 0)
			default:
				t.Errorf("round %d: %d files are left, and the blob was condemned %d times", round, left, condemned.Load())
			}
		}
	}},
}
