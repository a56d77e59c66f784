package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"casgate/cas/castest"
)

// The scripts work in the shells themselves.
func TestCompletionInShells(t *testing.T) {
	if castest.Thorough(1, 0) == 0 {
		t.Skip("it needs shells; CAS_TEST_THOROUGH=1 runs it")
	}
	for name, shell := range map[string]struct {
		args  []string
		setUp string
	}{
		"bash": {[]string{"--norc", "--noprofile", "-i"}, `source <(cas completion bash); PS1='ready''> '`},
		"zsh":  {[]string{"-f", "-i"}, `autoload -Uz compinit; compinit -u -D; source <(cas completion zsh); PS1='ready''> '`},
		"fish": {[]string{"--no-config", "-i"}, `cas completion fish | source; function fish_prompt; echo -n 'ready''> '; end`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			needProgram(t, name)
			self, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			home := t.TempDir()
			for _, err := range []error{os.Symlink(self, filepath.Join(home, "cas")), os.WriteFile(filepath.Join(home, "unique-file.txt"), nil, 0o600)} {
				if err != nil {
					t.Fatal(err)
				}
			}
			cmd := exec.Command(name, shell.args...)
			cmd.Dir = home
			cmd.Env = append(os.Environ(), "HOME="+home, "XDG_CONFIG_HOME="+home, "XDG_DATA_HOME="+home, "TERM=xterm", "PATH="+home+":"+os.Getenv("PATH"))
			s := openScreen(t, 120, cmd)
			s.enter(shell.setUp + "\n")
			s.waitFor(`ready> *$`)
			for typed, becomes := range map[string]string{
				"cas comp":                 `cas completion `,
				"cas completion zs":        `cas completion zsh `,
				"cas file inf":             `cas file info `,
				"cas put --dry":            `cas put --dry-run `,
				"cas serve --log-format j": `cas serve --log-format json `,
				"cas serve --auth=n":       `cas serve --auth=none`,
				"cas put uniq":             `cas put unique-file\.txt `,
			} {
				s.enter(typed + "\t#")
				s.waitFor(`ready> ` + becomes + `? *#`)
				s.enter("\x15") // empties the line
				s.waitFor(`ready> *$`)
			}
		})
	}
}

// enter types keys.
func (s *screen) enter(keys string) {
	s.t.Helper()
	if _, err := s.keyboard.WriteString(keys); err != nil {
		s.t.Fatal(err)
	}
}
