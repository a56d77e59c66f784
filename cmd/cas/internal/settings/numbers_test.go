package settings

import (
	"testing"
	"time"

	"github.com/alecthomas/kong"
)

func TestNegativeNumbersAreRefused(t *testing.T) {
	for _, arg := range []string{"--count=-1", "--rate=-0.5", "--rate=NaN", "--life=-1s"} {
		t.Run(arg, func(t *testing.T) {
			var flags struct {
				Count int           `default:"0"`
				Rate  float64       `default:"0"`
				Life  time.Duration `default:"0s" env:"CAS_LIFE"`
			}
			parser, err := kong.New(&flags)
			if err != nil {
				t.Fatal(err)
			}
			command, err := parser.Parse([]string{arg})
			if err != nil {
				t.Fatal(err)
			}
			if err := CheckNumbers(command.Model.Node); err == nil {
				t.Errorf("%s is taken", arg)
			} else {
				t.Log(err)
			}
		})
	}
}
