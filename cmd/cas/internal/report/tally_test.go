package report

import (
	"errors"
	"testing"

	"casgate/cmd/cas/internal/exit"
	"casgate/providers"
)

func TestExitCodeOfSeveralParts(t *testing.T) {
	t.Parallel()
	refused, underWay := exit.With(exit.Refused, errors.New("refused")), exit.With(exit.UnderWay, errors.New("under way"))
	for name, tt := range map[string]struct {
		parts []error
		want  int
	}{
		"none":                                 {nil, exit.OK},
		"all done":                             {[]error{nil, nil}, exit.OK},
		"all failed":                           {[]error{refused, errors.New("other")}, exit.Refused},
		"some failed":                          {[]error{nil, refused}, exit.Partly},
		"all under way":                        {[]error{underWay, providers.ErrCopyInProgress}, exit.UnderWay},
		"some under way, the others done":      {[]error{nil, underWay, nil}, exit.UnderWay},
		"some under way, one failed":           {[]error{underWay, refused}, exit.Partly},
		"some under way, one failed, one done": {[]error{underWay, refused, nil}, exit.Partly},
	} {
		var tally Tally
		for _, err := range tt.parts {
			tally.Add(err)
		}
		if got := ExitCode(t.Context(), tally.Err(t.Context())); got != tt.want {
			t.Errorf("%s: %d; want %d", name, got, tt.want)
		}
	}
}
