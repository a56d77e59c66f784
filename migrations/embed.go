// Package migrations holds the index's schema: one folder of SQL files per
// database, in goose's format, applied in the order of their numbers. A file
// that has been released is never changed; a later one corrects it.
package migrations

import (
	"embed"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/pressly/goose/v3"
)

//go:embed postgres/*.sql sqlite/*.sql
var files embed.FS

// Set is the migrations of one kind of database.
type Set struct {
	files   fs.FS
	sources []source // ascending by version
}

// source is one migration file.
type source struct {
	version int64
	name    string // the file's name without number and ending
}

// The sets there are.
var (
	Postgres = mustLoad("postgres")
	SQLite   = mustLoad("sqlite")
)

// mustLoad reads the names of an embedded folder. What it panics about is the
// same in every run of the program, so no program with it gets past its tests.
func mustLoad(folder string) Set {
	sub, err := fs.Sub(files, folder)
	if err != nil {
		panic(err)
	}
	paths, err := fs.Glob(sub, "*.sql")
	if err != nil {
		panic(err)
	}
	set := Set{files: sub}
	for _, p := range paths {
		version, err := goose.NumericComponent(p)
		if err != nil {
			panic(fmt.Sprintf("migration %s/%s: %v", folder, p, err))
		}
		_, name, _ := strings.Cut(strings.TrimSuffix(path.Base(p), ".sql"), "_")
		set.sources = append(set.sources, source{version, name})
	}
	slices.SortFunc(set.sources, func(a, b source) int { return int(a.version - b.version) })
	return set
}

// Files returns the SQL files, at the root of the file system, as goose wants
// them.
func (s Set) Files() fs.FS { return s.files }

// Latest returns the version of a database to which all of the set is applied.
func (s Set) Latest() int64 { return s.sources[len(s.sources)-1].version }

// Status tells about one migration.
type Status struct {
	Version int64
	// Name says what it is about. It is empty for one that this program does not
	// know, which a newer one applied.
	Name      string
	Applied   bool
	AppliedAt time.Time // zero where it is not applied
}

// Status joins the set with the versions applied to a database, and when:
// every migration that is in either, by version.
func (s Set) Status(applied map[int64]time.Time) []Status {
	list := make([]Status, 0, len(s.sources))
	for _, src := range s.sources {
		at, ok := applied[src.version]
		list = append(list, Status{Version: src.version, Name: src.name, Applied: ok, AppliedAt: at})
	}
	for version, at := range applied {
		known := slices.ContainsFunc(s.sources, func(src source) bool { return src.version == version })
		if !known && version > 0 { // goose's own first row is version 0
			list = append(list, Status{Version: version, Applied: true, AppliedAt: at})
		}
	}
	slices.SortFunc(list, func(a, b Status) int { return int(a.Version - b.Version) })
	return list
}
