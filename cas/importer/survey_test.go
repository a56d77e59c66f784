package importer_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"casgate/cas"
	"casgate/cas/importer"
)

func TestSurvey(t *testing.T) {
	t.Parallel()
	x := newFakeFiles(20)
	s := memorySource{}
	for i := range 20 {
		s[fmt.Sprintf("%04d", i)] = make([]byte, 10)
	}
	delete(s, "0003")
	s["0004"] = make([]byte, 11)
	s["0005"] = make([]byte, 1000)
	a, b := cas.DigestOf([]byte("a")), cas.DigestOf([]byte("b"))
	for name, d := range map[string]cas.Digest{"0006": a, "0007": a, "0008": b} {
		x.change(name, func(f *cas.File) { f.Origin.Digest = d; f.Size = 12345 })
	}
	x.change("0009", func(f *cas.File) { f.Origin.Error = "failed before" })
	x.change("0010", func(f *cas.File) { f.Origin.Source = "file:///elsewhere" })
	var problems []string
	survey := importer.NewSurvey(importer.SurveyOptions{
		Sources: []importer.Statter{s}, MaxSize: 100,
		Missing: func(_ context.Context, ds []cas.Digest) ([]cas.Digest, error) {
			return slices.DeleteFunc(slices.Clone(ds), func(d cas.Digest) bool { return d == b }), nil
		},
		Report: func(p importer.Problem) { problems = append(problems, p.Row) },
	})
	if err := survey.Pending(t.Context(), x, importer.PendingUntried, func(int64) {}); err != nil {
		t.Fatal(err)
	}
	want := importer.SurveyCounts{Files: 19, Bytes: 150, Duplicates: 2, WouldFail: 4}
	if got := survey.Counts(); got != want {
		t.Errorf("%+v", got)
	}
	slices.Sort(problems)
	if !slices.Equal(problems, []string{"0003", "0004", "0005", "0010"}) {
		t.Error(problems)
	}
	if len(x.tries) != 0 {
		t.Error("a survey took files in")
	}
}

func TestSurveyOfRows(t *testing.T) {
	t.Parallel()
	s := memorySource{}
	for i := range 1000 {
		s[fmt.Sprint("k", i)] = make([]byte, 10)
	}
	survey := importer.NewSurvey(importer.SurveyOptions{
		Sources: []importer.Statter{s},
		Known: func(_ context.Context, ids []string) ([]string, error) {
			return slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return id != importer.FileID(old, "5") }), nil
		},
		Missing: func(_ context.Context, ds []cas.Digest) ([]cas.Digest, error) { return ds, nil },
	})
	if err := survey.Rows(t.Context(), rowsOf(1001, importer.Row{ID: "x"}), old, func(int64) {}); err != nil {
		t.Fatal(err)
	}
	want := importer.SurveyCounts{Files: 1002, Already: 1, Bytes: 9990, WouldFail: 2} // k1000 is missing
	if got := survey.Counts(); got != want {
		t.Errorf("%+v", got)
	}
}
