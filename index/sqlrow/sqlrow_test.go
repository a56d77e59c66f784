package sqlrow_test

import (
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"casgate/cas"
	"casgate/cas/access"
	"casgate/index/sqlrow"
)

// item is a row of every type of column.
type item struct {
	name   string
	count  int
	on     bool
	tags   []string
	at     time.Time
	until  time.Time
	digest cas.Digest
}

func items(d *sqlrow.Dialect) sqlrow.Table[item] {
	return sqlrow.New(d,
		sqlrow.Text("name", func(i *item) *string { return &i.name }),
		sqlrow.Int("count", func(i *item) *int { return &i.count }),
		sqlrow.Bool("on", func(i *item) *bool { return &i.on }),
		sqlrow.TextArray("tags", func(i *item) *[]string { return &i.tags }),
		sqlrow.Time("at", func(i *item) *time.Time { return &i.at }),
		sqlrow.NullTime("until", func(i *item) *time.Time { return &i.until }),
		sqlrow.NullDigest("digest", func(i *item) *cas.Digest { return &i.digest }),
	)
}

func TestTableLists(t *testing.T) {
	t.Parallel()
	pg, lite := items(sqlrow.Postgres).Only("name", "tags", "at"), items(sqlrow.SQLite).Without("count", "on", "until", "digest")
	for got, want := range map[string]string{
		pg.Names():                         "name, tags, at",
		lite.Names():                       "name, tags, at",
		pg.NamesOf("i"):                    "i.name, i.tags, i.at",
		pg.Select():                        "name, tags, at",
		pg.SelectOf("i"):                   "i.name, i.tags, i.at",
		lite.Select():                      "name, tags, at",
		pg.Placeholders(3):                 "$3::text, $4::text[], $5::timestamptz",
		lite.Placeholders(3):               "?3, ?4, ?5",
		pg.Definitions():                   "name text, tags text[], at timestamptz",
		pg.Assignments("other"):            "name = other.name, tags = other.tags, at = other.at",
		pg.AssignPlaceholders(2):           "name = $2::text, tags = $3::text[], at = $4::timestamptz",
		pg.Only("at").ArrayPlaceholders(2): "$2::timestamptz[]",
	} {
		if got != want {
			t.Errorf("%q; want %q", got, want)
		}
	}
}

// row hands over values as a database does.
type row []any

func (r row) Scan(targets ...any) error {
	if len(targets) != len(r) {
		return fmt.Errorf("%d targets for %d values", len(targets), len(r))
	}
	for i, target := range targets {
		if scanner, ok := target.(interface{ Scan(any) error }); ok {
			if err := scanner.Scan(r[i]); err != nil {
				return err
			}
			continue
		}
		into := reflect.ValueOf(target).Elem()
		into.Set(reflect.ValueOf(r[i]).Convert(into.Type()))
	}
	return nil
}

func TestArgsScanBack(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 26, 1, 2, 3, 4000, time.UTC)
	for _, want := range []item{
		{"a", 1, true, []string{"x", "y"}, at, at.Add(time.Hour), cas.DigestOf([]byte("a"))},
		{at: at},
	} {
		got, err := items(sqlrow.SQLite).Scan(row(items(sqlrow.SQLite).Args(want)))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("SQLite: %+v, error %v; want %+v", got, err, want)
		}
		got, err = items(sqlrow.Postgres).Scan(row(items(sqlrow.Postgres).Args(want)))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("Postgres: %+v, error %v; want %+v", got, err, want)
		}
	}
}

func TestFilesKeepTheOriginOnlyWhereThereIsOne(t *testing.T) {
	t.Parallel()
	files := sqlrow.Files(sqlrow.SQLite)
	for _, want := range []cas.File{
		{ID: "file-1", Metadata: []byte("{}")},
		{ID: "file-1", Metadata: []byte(`{"a":1}`), Origin: &cas.Origin{}},
		{ID: "file-1", Metadata: []byte("{}"), Origin: &cas.Origin{Source: "s", Key: "k", Digest: cas.DigestOf(nil), Error: "e"}},
	} {
		given := want
		got, err := files.Scan(row(files.Args(given)))
		if err != nil || !reflect.DeepEqual(got, want) || !reflect.DeepEqual(given, want) {
			t.Errorf("%+v, error %v; want %+v", got, err, want)
		}
	}
}

func TestTokensWithScopesOfANewerProgram(t *testing.T) {
	t.Parallel()
	tokens := sqlrow.Tokens(sqlrow.SQLite)
	want := access.Token{ID: "t", Scopes: []access.Scope{"read", "fly"}, CreatedAt: time.UnixMicro(1).UTC()}
	got, err := tokens.Scan(row(tokens.Args(want)))
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, error %v; want %+v", got, err, want)
	}
}

func TestSlices(t *testing.T) {
	t.Parallel()
	at := time.UnixMicro(1).UTC()
	got := items(sqlrow.Postgres).Only("name", "until").Slices([]item{{name: "a"}, {name: "b", until: at}}, 7)
	names, _ := got[1].([]*string)
	times, _ := got[2].([]*time.Time)
	if len(got) != 3 || got[0] != 7 || len(names) != 2 || *names[1] != "b" || len(times) != 2 || times[0] != nil || !times[1].Equal(at) {
		t.Errorf("%v", got)
	}
}

func TestWherePages(t *testing.T) {
	t.Parallel()
	for d, want := range map[*sqlrow.Dialect]string{
		sqlrow.Postgres: "select x from t\nwhere a = $1 and a <> $2\n  and b is null\n  and (c, d) < ($3, $4)\norder by c desc, d desc\nlimit $5",
		sqlrow.SQLite:   "select x from t\nwhere a = ?1 and a <> ?2\n  and b is null\n  and (c, d) < (?3, ?4)\norder by c desc, d desc\nlimit ?5",
	} {
		w := sqlrow.NewWhere(d)
		w.Add("a = ? and a <> ?", 1, "what?")
		w.Add("b is null")
		page := sqlrow.Page{Columns: []string{"c", "d"}, Order: sqlrow.Descending, Limit: 9}
		page.After(w, 2, 3)
		query, args := page.Query("select x from t", w)
		if query != want || !slices.Equal(args, []any{1, "what?", 2, 3, int64(9)}) {
			t.Errorf("%s\nwith %v; want\n%s", query, args, want)
		}
	}
}
