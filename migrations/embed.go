// Package migrations holds the index's schema: one folder of SQL files per database, in
// goose's format. They are applied in the order of their numbers. A released file never
// changes; a later file corrects it.
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

// The sets of migrations.
var (
	Postgres = mustLoad("postgres")
	SQLite   = mustLoad("sqlite")
)

// mustLoad reads the names in an embedded folder. It panics on an error: the folder is
// the same in every run, so the tests would find it.
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

// Files returns the SQL files at the root of a file system, as goose expects them.
func (s Set) Files() fs.FS { return s.files }

// Latest returns the version of a database with all migrations of the set.
func (s Set) Latest() int64 { return s.sources[len(s.sources)-1].version }

// Status is the state of one migration.
type Status struct {
	Version int64
	// Name is the migration's subject. It is empty if a newer program applied the
	// migration, and this program doesn't know it.
	Name      string
	Applied   bool
	AppliedAt time.Time // zero: not applied
}

// Status returns all migrations of the set and all that were applied to a database, by
// version. The map has the time of each applied version.
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
