package importer_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"casgate/cas/importer"
)

// read writes rows down, one a line.
func read(rows importer.Rows) string {
	var b strings.Builder
	for row, err := range rows {
		if wrong, ok := errors.AsType[*importer.RowError](err); ok {
			fmt.Fprintf(&b, "wrong %s\n", wrong.Where)
			continue
		}
		if err != nil {
			fmt.Fprintf(&b, "end: %v\n", err)
			continue
		}
		fmt.Fprintf(&b, "%s|%s|%s|%s|%s\n", row.ID, row.Key, row.Name, row.Size, row.SHA256)
	}
	return b.String()
}

func mapping(t testing.TB, columns map[string]string) importer.Mapping {
	t.Helper()
	m, err := importer.ParseMapping(columns)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestCSV(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		csv, want string
		columns   map[string]string
	}{
		"all": {csv: "id,storage_path,original_name,size_bytes,sha256\n1,a/b,\"x, \"\"y\"\".txt\",5,\\N\n2,c,,,\n",
			want: "1|a/b|x, \"y\".txt|5|\n2|c|||\n"},
		"mapped, in another order, with a mark": {csv: "\ufeffpath,what,hash\nk,n,h\n",
			columns: map[string]string{"storage_path": "path", "original_name": "what", "sha256": "hash"}, want: "|k|n||h\n"},
		"lines of other lengths": {csv: "id,storage_path\n1,a\n2\n3,c,d\n4,e\n", want: "1|a|||\nwrong line 3\nwrong line 4\n4|e|||\n"},
		"a bare quote":           {csv: "id,storage_path\n1,a\"b\n2,c\n", want: "wrong line 2\n2|c|||\n"},
		"no rows":                {csv: "id,storage_path\n", want: ""},
		"nothing":                {csv: "", want: "end: read the line that names the columns: unexpected EOF\n"},
		"wrong column": {csv: "id,storage_path,digest\n", columns: map[string]string{"sha256": "hash"},
			want: "end: column mapping: there is no column \"hash\" for sha256; the columns are id, storage_path, digest (--map sha256=COLUMN names another)\n"},
		"no path": {csv: "id,path\n", want: "end: column mapping: there is no column \"storage_path\" for storage_path; the columns are id, path (--map storage_path=COLUMN names another)\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := read(importer.CSV(strings.NewReader(tt.csv), mapping(t, tt.columns))); got != tt.want {
				t.Errorf("got\n%s\nwant\n%s", got, tt.want)
			}
		})
	}
}

func TestJSONLines(t *testing.T) {
	t.Parallel()
	many := strings.Repeat(`{"storage_path":"k"}`+"\n", 250)
	for name, tt := range map[string]struct {
		lines, want string
		columns     map[string]string
	}{
		"all": {lines: `{"id":"1","storage_path":"a","size_bytes":5,"sha256":null,"other":{}}` + "\n\n" + `{"id":2,"storage_path":"b"}`,
			want: "1|a||5|\n2|b|||\n"},
		"a column in a later line":       {lines: `{"storage_path":"a"}` + "\n" + `{"storage_path":"b","hash":"h"}`, columns: map[string]string{"sha256": "hash"}, want: "|a|||\n|b|||h\n"},
		"malformed":                      {lines: `{"storage_path":"a"}` + "\n{\n[]\n" + `{"storage_path":"b"}`, want: "|a|||\nwrong line 2\nwrong line 3\n|b|||\n"},
		"more than are looked at before": {lines: many, want: strings.Repeat("|k|||\n", 250)},
		"nothing":                        {lines: "", want: ""},
		"wrong column":                   {lines: `{"b":1,"a":2}`, want: "end: column mapping: there is no column \"storage_path\" for storage_path; the columns are a, b (--map storage_path=COLUMN names another)\n"},
		"endless":                        {lines: strings.Repeat(`{"storage_path":"a"}`+"\n", 100) + strings.Repeat("x", 17<<20), want: strings.Repeat("|a|||\n", 100) + "end: read the list after line 100: bufio.Scanner: token too long\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := read(importer.JSONLines(strings.NewReader(tt.lines), mapping(t, tt.columns))); got != tt.want {
				t.Errorf("got\n%.1000s\nwant\n%.1000s", got, tt.want)
			}
		})
	}
}

func TestMappingOfUnknownFields(t *testing.T) {
	t.Parallel()
	for _, columns := range []map[string]string{{"digest": "x"}, {"sha256": ""}} {
		if _, err := importer.ParseMapping(columns); !errors.Is(err, importer.ErrMapping) {
			t.Errorf("%v: %v", columns, err)
		}
	}
}

// Readers may leave in the middle.
func TestListsEndWhereTheReaderDoes(t *testing.T) {
	t.Parallel()
	for name, rows := range map[string]importer.Rows{
		"csv":   importer.CSV(strings.NewReader("storage_path\na\nb\n"), nil),
		"jsonl": importer.JSONLines(strings.NewReader(`{"storage_path":"a"}`+"\n"+`{"storage_path":"b"}`), nil),
	} {
		n := 0
		for range rows {
			n++
			break
		}
		if n != 1 {
			t.Errorf("%s: %d rows", name, n)
		}
	}
}

func FuzzLists(f *testing.F) {
	f.Add("id,storage_path\n1,a\n")
	f.Add(`{"storage_path":"a","metadata":{"x":1}}`)
	f.Fuzz(func(t *testing.T, list string) {
		for _, rows := range []importer.Rows{importer.CSV(strings.NewReader(list), nil), importer.JSONLines(strings.NewReader(list), nil)} {
			for row, err := range rows {
				if err == nil {
					_, _, _ = row.File("s3://old", now) // it must not panic; the property test judges it
				}
			}
		}
	})
}
