package request

import (
	"testing"
	"time"
)

func TestParsePrefer(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Preference{
		"":                                    {},
		"respond-async":                       {Async: true},
		"redirect=none":                       {NoRedirect: true},
		"redirect=None, wait=3":               {NoRedirect: true, HasWait: true, Wait: 3 * time.Second},
		"redirect":                            {},
		"Respond-Async":                       {Async: true},
		"respond-async; x=1":                  {Async: true},
		"respond-async=no":                    {},
		"wait=10":                             {HasWait: true, Wait: 10 * time.Second},
		"wait = 10 ; y":                       {HasWait: true, Wait: 10 * time.Second},
		`wait="10"`:                           {HasWait: true, Wait: 10 * time.Second},
		"wait=0":                              {HasWait: true},
		"wait=10, wait=20":                    {HasWait: true, Wait: 10 * time.Second},
		"wait=x, wait=20":                     {HasWait: true, Wait: 20 * time.Second},
		"respond-async, wait=3":               {Async: true, HasWait: true, Wait: 3 * time.Second},
		"wait=3600":                           {HasWait: true, Wait: maxWait},
		"wait=99999999999999999999":           {HasWait: true, Wait: maxWait},
		"wait=-1":                             {},
		"wait=+1":                             {},
		"wait=1.5":                            {},
		"wait":                                {},
		"wait=":                               {},
		`foo="respond-async, wait=1"`:         {},
		`foo="a\", respond-async", wait=2`:    {HasWait: true, Wait: 2 * time.Second},
		`foo="unclosed, respond-async`:        {},
		",,respond-async,,":                   {Async: true},
		"return=minimal, handling=lenient":    {},
		"respond-asynchronously, awaiting=10": {},
	} {
		if got := parsePrefer([]string{text}); got != want {
			t.Errorf("%q: %+v, want %+v", text, got, want)
		}
	}
	if got := parsePrefer([]string{"wait=1", "respond-async", "wait=2"}); got != (Preference{Async: true, HasWait: true, Wait: time.Second}) {
		t.Errorf("several lines: %+v", got)
	}
}

func FuzzParsePrefer(f *testing.F) {
	f.Add(`respond-async, wait=10; x="a,b"`)
	f.Add(`foo="\`)
	f.Add(",;=")
	f.Fuzz(func(t *testing.T, text string) {
		p := parsePrefer([]string{text})
		if p.Wait < 0 || p.Wait > maxWait || p.Wait != 0 && !p.HasWait {
			t.Errorf("%+v", p)
		}
		rest := 0
		for element := range listElements(text) {
			rest += len(element) + 1
		}
		if rest > len(text)+1 {
			t.Errorf("the elements are longer than the list")
		}
	})
}
