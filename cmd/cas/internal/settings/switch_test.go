package settings

import (
	"reflect"
	"testing"

	"github.com/alecthomas/kong"
)

// Settings that are on or off, and those that are true or false, take the same words.
func TestSwitchesTakeTheSameWords(t *testing.T) {
	for word, want := range map[string]bool{"on": true, "true": true, "TRUE": true, "yes": true, "1": true, "off": false, "false": false, "no": false, "0": false} {
		var c struct {
			Part Switch    `env:"CAS_PART" default:"on" enum:"on,off"`
			Flag bool      `env:"CAS_FLAG" negatable:""`
			Log  AccessLog `env:"CAS_LOG" default:"1%"`
		}
		parse := func(args ...string) error {
			parser, err := kong.New(&c, kong.KindMapper(reflect.Bool, BoolMapper{}))
			if err != nil {
				t.Fatal(err)
			}
			_, err = parser.Parse(args)
			return err
		}
		t.Setenv("CAS_PART", word)
		t.Setenv("CAS_FLAG", word)
		t.Setenv("CAS_LOG", word)
		if err := parse(); err != nil || (c.Part == "on") != want || (c.Part == "off") == want || c.Flag != want || (c.Log == 1) != want || (c.Log == 0) == want {
			t.Errorf("%s: %+v, %v", word, c, err)
		}
		if err := parse("--part="+word, "--flag="+word); err != nil || (c.Part == "on") != want || c.Flag != want {
			t.Errorf("flags with %s: %+v, %v", word, c, err)
		}
		if err := parse("--flag"); err != nil || !c.Flag {
			t.Errorf("the flag alone: %+v, %v", c, err)
		}
		if err := parse("--no-flag"); err != nil || c.Flag {
			t.Errorf("the flag with no: %+v, %v", c, err)
		}
		for _, name := range []string{"CAS_PART", "CAS_FLAG", "CAS_LOG"} {
			t.Setenv(name, "perhaps")
			if parse() == nil {
				t.Errorf("%s: perhaps was taken: %+v", name, c)
			}
			t.Setenv(name, word)
		}
	}
}
