package indextest

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"casgate/cas"
)

// filePages lists everything, a page at a time.
func filePages(t testing.TB, x Index, q cas.FileQuery) []cas.File {
	t.Helper()
	var all []cas.File
	for {
		page := listFiles(t, x, q)
		all = append(all, page...)
		if len(page) < q.Limit {
			return all
		}
		if page[len(page)-1].Cursor() == q.After {
			t.Fatalf("the page after %+v ends with it", q.After)
		}
		q.After = page[len(page)-1].Cursor()
	}
}

// listFiles lists a page, and fails the test on an error.
func listFiles(t testing.TB, x Index, q cas.FileQuery) []cas.File {
	t.Helper()
	page, err := x.ListFiles(t.Context(), q)
	if err != nil {
		t.Fatalf("ListFiles(%+v): %v", q, err)
	}
	if len(page) > q.Limit {
		t.Fatalf("a page of %d, with a limit of %d", len(page), q.Limit)
	}
	return page
}

// fileOrder is that of a listing.
func fileOrder(a, b cas.File) int {
	if c := a.CreatedAt.Compare(b.CreatedAt); c != 0 {
		return c
	}
	return strings.Compare(a.ID, b.ID)
}

// ids returns the ids of files.
func ids(files []cas.File) []string {
	list := []string{}
	for _, f := range files {
		list = append(list, f.ID)
	}
	return list
}

var listFilesTests = []test{
	{"shows all files as they are, but those that have expired", func(t *testing.T, x Index) {
		d := live(t, x, 0)
		want := []cas.File{createFile(t, x, fullFile(t, 1, d)), createFile(t, x, fileOf(t, 2, d))}
		importFiles(t, x, imported(t, 3))
		want = append(want, getFile(t, x, fileID(t, 3)))
		expired(t, x, fileOf(t, 4, d))
		createFile(t, x, fileOf(t, 5, d))
		deleteFile(t, x, fileID(t, 5))
		slices.SortFunc(want, fileOrder)
		sameFile(t, "the listing", listFiles(t, x, cas.FileQuery{Limit: 100}), want)
		slices.Reverse(want)
		sameFile(t, "the listing, newest first", listFiles(t, x, cas.FileQuery{Limit: 100, Descending: true}), want)
	}},
	{"pages without loss or repeat while others come and go", pageFiles},
	{"knows the place of a file that is gone", placeOfGoneFile},
	{"goes on behind a file that was deleted meanwhile", func(t *testing.T, x Index) {
		d := live(t, x, 0)
		var files []cas.File
		for n := range 5 {
			files = append(files, createFile(t, x, fileOf(t, n, d)))
		}
		slices.SortFunc(files, fileOrder)
		deleteFile(t, x, files[2].ID)
		q := cas.FileQuery{Limit: 10, After: files[2].Cursor()}
		same(t, "the rest of the listing", ids(listFiles(t, x, q)), ids(files[3:]))
		q.Descending = true
		same(t, "the rest of the listing, newest first", ids(listFiles(t, x, q)), []string{files[1].ID, files[0].ID})
	}},
	{"filters, by any number of filters at once", filterFiles},
	{"filters by the beginning of names, byte for byte", func(t *testing.T, x Index) {
		names := []string{
			"a", "ab", "abc", "aB", "A", "b", "%", "%a", "_", "_a", "ä", "äb", "文件", "文", "😀", "a b", `a'b`, "a\"b", "a*", "a?",
			"\ud7ff", "\ue000", "\U0010ffff", "\U0010ffff\U0010ffff", "\U0010ffffa", "a\U0010ffff", "a\U0010ffffb",
		}
		d := live(t, x, 0)
		for n, name := range names {
			f := fileOf(t, n, d)
			f.Name = name
			createFile(t, x, f)
		}
		for _, prefix := range append(names, "", "abcd", "x", "*", "?", "\\") {
			want := []string{}
			for _, name := range names {
				if strings.HasPrefix(name, prefix) {
					want = append(want, name)
				}
			}
			got := []string{}
			for _, f := range filePages(t, x, cas.FileQuery{Limit: 2, NamePrefix: prefix}) {
				got = append(got, f.Name)
			}
			slices.Sort(got)
			slices.Sort(want)
			same(t, fmt.Sprintf("the names that begin with %q", prefix), got, want)
		}
	}},
	{"finds nothing by a value that no file can have", func(t *testing.T, x Index) {
		createFile(t, x, fullFile(t, 0, live(t, x, 0)))
		for _, text := range []string{"a\x00", "\x00", "\xff", "Größe\xc3"} {
			for i, q := range []cas.FileQuery{{Purpose: text}, {Context: text}, {Tag: text}, {NamePrefix: text}} {
				q.Limit = 10
				if got := listFiles(t, x, q); len(got) != 0 {
					t.Errorf("filter %d by %q: %v", i, text, ids(got))
				}
			}
		}
	}},
	{"refuses invalid queries", func(t *testing.T, x Index) {
		for i, q := range []cas.FileQuery{{}, {Limit: -1}} {
			if _, err := x.ListFiles(t.Context(), q); err == nil {
				t.Errorf("query %d: no error", i)
			}
		}
		for _, metadata := range []string{`[]`, `7`, `{`, `{"a":"\ud800"}`, `{"a":1e100000}`, `{"a":"` + strings.Repeat("a", 20_000) + `"}`} {
			_, err := x.ListFiles(t.Context(), cas.FileQuery{Limit: 1, Metadata: json.RawMessage(metadata)})
			invalid(t, fmt.Sprintf("metadata %.20s", metadata), err, "metadata")
		}
		_, err := x.ListFiles(t.Context(), cas.FileQuery{Limit: 1, After: cas.FileCursor{ID: "a\x00"}})
		invalid(t, "a cursor with NUL", err, "after")
	}},
}

// filterFiles compares each combination of filters with a look at all files.
func filterFiles(t *testing.T, x Index) {
	a, b := live(t, x, 0), live(t, x, 1)
	var files []cas.File
	for n := range 64 {
		f := fileOf(t, n, a)
		f.Purpose, f.Name = "batch", "x-1"
		f.Context, f.Tags, f.Metadata = "c2", []string{"t2", "t3"}, json.RawMessage(`{"user":"8","kind":["a"]}`)
		if n&1 != 0 {
			f.Purpose = "vision"
		}
		if n&2 != 0 {
			f.Context = "c1"
		}
		if n&4 != 0 {
			f.Tags = []string{"t1", "t2"}
		}
		if n&8 != 0 {
			f.Name = "report-1"
		}
		if n&16 != 0 {
			f.Metadata = json.RawMessage(`{"user":"7","kind":["a"]}`)
		}
		if n&32 == 0 {
			f.Digest = b
		}
		if n%5 == 0 {
			f.Digest, f.Size, f.Origin = cas.Digest{}, -1, &cas.Origin{Source: "old", Key: "k"}
			importFiles(t, x, f)
		} else {
			createFile(t, x, f)
		}
		files = append(files, getFile(t, x, f.ID))
	}
	slices.SortFunc(files, fileOrder)
	filters := []struct {
		set  func(q *cas.FileQuery)
		pass func(f cas.File) bool
	}{
		{func(q *cas.FileQuery) { q.Purpose = "vision" }, func(f cas.File) bool { return f.Purpose == "vision" }},
		{func(q *cas.FileQuery) { q.Context = "c1" }, func(f cas.File) bool { return f.Context == "c1" }},
		{func(q *cas.FileQuery) { q.Tag = "t1" }, func(f cas.File) bool { return slices.Contains(f.Tags, "t1") }},
		{func(q *cas.FileQuery) { q.NamePrefix = "rep" }, func(f cas.File) bool { return strings.HasPrefix(f.Name, "rep") }},
		{
			func(q *cas.FileQuery) { q.Metadata = json.RawMessage(`{"user":"7"}`) },
			func(f cas.File) bool { return strings.Contains(string(f.Metadata), `7`) },
		},
		{func(q *cas.FileQuery) { q.Digest = a }, func(f cas.File) bool { return f.Digest == a }},
		{func(q *cas.FileQuery) { q.Pending = true }, func(f cas.File) bool { return f.IsPending() }},
	}
	for chosen := range 1 << len(filters) {
		want := files
		q := cas.FileQuery{Limit: 3}
		for i, filter := range filters {
			if chosen&(1<<i) != 0 {
				filter.set(&q)
				want = slices.DeleteFunc(slices.Clone(want), func(f cas.File) bool { return !filter.pass(f) })
			}
		}
		what := fmt.Sprintf("the listing with filters %07b", chosen)
		same(t, what, ids(filePages(t, x, q)), ids(want))
		backward := slices.Clone(want)
		slices.Reverse(backward)
		q.Descending = true
		same(t, what+", newest first", ids(filePages(t, x, q)), ids(backward))
	}
	for _, q := range []cas.FileQuery{
		{Purpose: "visio"}, {Context: "c"}, {Context: "C1"}, {Tag: "t"}, {Tag: "t1,t2"}, {NamePrefix: "REP"}, {Digest: digest(t, 9)},
	} {
		q.Limit = 10
		if got := listFiles(t, x, q); len(got) != 0 {
			t.Errorf("%+v: %d files; want none", q, len(got))
		}
	}
}

var fileMetadataTests = []test{
	{"is found by the metadata it contains", func(t *testing.T, x Index) {
		cases := []struct {
			metadata string
			yes, no  []string
		}{
			{`{}`, []string{`{}`, ` { } `}, []string{`{"a":null}`, `{"a":{}}`}},
			{`{"a":1}`, []string{`{}`, `{"a":1}`, `{"a":1.0}`, `{"a":10e-1}`, `{"a":0.1e1}`, `{"a":1,"a":1}`},
				[]string{`{"a":2}`, `{"a":"1"}`, `{"a":[1]}`, `{"A":1}`, `{"a":1,"b":1}`, `{"a":true}`, `{"a":-1}`, `{"a":1.00000000000000000001}`}},
			{`{"a":0}`, []string{`{"a":-0}`, `{"a":0.0}`, `{"a":0e9}`}, []string{`{"a":null}`, `{"a":false}`, `{"a":5e-324}`}},
			{`{"a":12345678901234567890123}`, []string{`{"a":12345678901234567890123.0}`}, []string{`{"a":12345678901234567890124}`}},
			{`{"a":1e300}`, []string{`{"a":10e299}`}, []string{`{"a":1e301}`}},
			{`{"a":null}`, []string{`{"a":null}`}, []string{`{"b":null}`, `{"a":"null"}`, `{"a":0}`, `{"a":false}`, `{"a":{}}`, `{"a":[]}`}},
			{`{"a":true}`, []string{`{"a":true}`}, []string{`{"a":false}`, `{"a":"true"}`, `{"a":1}`}},
			{`{"a":"x","b":"y"}`, []string{`{"a":"x"}`, `{"b":"y"}`, `{"b":"y","a":"x"}`, `{"a":"\u0078"}`},
				[]string{`{"a":"y"}`, `{"a":"X"}`, `{"a":""}`, `{"a":"x","b":"x"}`, `{"x":"a"}`}},
			{`{"a":"é"}`, []string{`{"a":"\u00e9"}`}, []string{`{"a":"e\u0301"}`}},
			{`{"":""}`, []string{`{"":""}`}, []string{`{"":null}`, `{"a":""}`}},
			{`{"a":{"b":{"c":1,"d":2},"e":[]}}`,
				[]string{`{"a":{}}`, `{"a":{"b":{}}}`, `{"a":{"b":{"d":2}}}`, `{"a":{"e":[]}}`, `{"a":{"b":{"c":1.0,"d":2},"e":[]}}`},
				[]string{`{"b":{"c":1}}`, `{"a":{"b":{"c":2}}}`, `{"a":{"c":1}}`, `{"a":[]}`, `{"a":{"e":{}}}`, `{"a":{"e":[[]]}}`, `{"a":{"b":{"e":{}}}}`}},
			{`{"a":[1,2,2,"x",null,true]}`,
				[]string{`{"a":[]}`, `{"a":[1]}`, `{"a":[2,1]}`, `{"a":[1,1,1]}`, `{"a":["x",2.0]}`, `{"a":[null]}`, `{"a":[true,null,"x",2,1]}`},
				[]string{`{"a":1}`, `{"a":[3]}`, `{"a":["1"]}`, `{"a":{}}`, `{"a":[1,3]}`, `{"a":[[1]]}`, `{"a":[false]}`, `{"a":[{}]}`, `{"a":null}`}},
			{`{"a":[{"b":1,"c":2},{"b":3}]}`,
				[]string{`{"a":[{"b":1}]}`, `{"a":[{"c":2},{"b":3}]}`, `{"a":[{}]}`, `{"a":[{"b":3},{"b":1,"c":2}]}`},
				[]string{`{"a":[{"b":3,"c":2}]}`, `{"a":{"b":1}}`, `{"a":[{"b":2}]}`, `{"a":[[]]}`, `{"a":[1]}`}},
			{`{"a":[[1,2],[3]]}`, []string{`{"a":[[2]]}`, `{"a":[[3],[1]]}`, `{"a":[[]]}`, `{"a":[[2,1,1]]}`}, []string{`{"a":[1]}`, `{"a":[[1,3]]}`, `{"a":[[[1]]]}`, `{"a":[{}]}`}},
			{`{"a.b":1,"a":{"b":2}}`, []string{`{"a.b":1}`, `{"a":{"b":2}}`}, []string{`{"a.b":2}`, `{"a":{"b":1}}`}},
			{`{"😀":"\\\"\n\u2028<"}`, []string{`{"\ud83d\ude00":"\\\"\u000a\u2028\u003c"}`}, []string{`{"😀":"\\"}`}},
			{`{"a":1,"a":2}`, []string{`{"a":2}`}, []string{`{"a":1}`}},
		}
		d := live(t, x, 0)
		for n, c := range cases {
			f := fileOf(t, n, d)
			f.Metadata = json.RawMessage(c.metadata)
			createFile(t, x, f)
			for i, filters := range [][]string{c.yes, c.no} {
				for _, filter := range filters {
					found := slices.Contains(ids(filePages(t, x, cas.FileQuery{Limit: 2, Metadata: json.RawMessage(filter)})), f.ID)
					if want := i == 0; found != want {
						t.Errorf("%s contains %s: %v; want %v", c.metadata, filter, found, want)
					}
				}
			}
		}
	}},
	{"is found among many that have parts of it", func(t *testing.T, x Index) {
		d := live(t, x, 0)
		var want []string
		for n := range 60 {
			f := fileOf(t, n, d)
			f.Metadata = json.RawMessage(`{"list":[{"a":1,"b":1},{"a":2,"b":2}]}`)
			if n%20 == 7 {
				f.Metadata = json.RawMessage(`{"list":[{"a":1,"b":2},{"a":2,"b":1}]}`)
				want = append(want, f.ID)
			}
			createFile(t, x, f)
		}
		for _, limit := range []int{1, 2, 3, 50} {
			got := filePages(t, x, cas.FileQuery{Limit: limit, Metadata: json.RawMessage(`{"list":[{"b":2,"a":1}]}`)})
			same(t, fmt.Sprintf("the files, by %d", limit), ids(got), want)
		}
	}},
	{"is found no more once the file is gone", func(t *testing.T, x Index) {
		d := live(t, x, 0)
		q := cas.FileQuery{Limit: 10, Metadata: json.RawMessage(`{"user":"7"}`), Tag: "a"}
		createFile(t, x, fullFile(t, 1, d))
		createFile(t, x, fullFile(t, 2, d))
		expired(t, x, fullFile(t, 3, d))
		same(t, "the files", ids(listFiles(t, x, q)), []string{fileID(t, 1), fileID(t, 2)})
		deleteFile(t, x, fileID(t, 1))
		same(t, "the files", ids(listFiles(t, x, q)), []string{fileID(t, 2)})
		f := fileOf(t, 1, d) // the same id again, for another file
		createFile(t, x, f)
		same(t, "the files", ids(listFiles(t, x, q)), []string{fileID(t, 2)})
	}},
}
