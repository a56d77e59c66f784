package disk

import (
	"errors"
	"slices"
	"testing"
)

func TestDistinct(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	of := func(folder string) (Space, error) {
		switch folder {
		case "broken":
			return Space{}, broken
		case "spool":
			return Space{Free: 5, Device: 2}, nil
		}
		return Space{Free: 7, Device: 1}, nil
	}
	var folders []Folder
	for _, path := range []string{"data", "broken", "spool", "objects"} {
		folders = append(folders, Folder{Name: path, Path: path})
	}
	got := distinct(folders, of)
	want := []Found{{folders[0], Space{Free: 7, Device: 1}, nil}, {folders[1], Space{}, broken}, {folders[2], Space{Free: 5, Device: 2}, nil}}
	if !slices.Equal(got, want) {
		t.Errorf("%v; want %v", got, want)
	}
}
