package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"casgate/cmd/cas/internal/exit"
	"casgate/cmd/cas/internal/terminal"
)

// completionCmd prints the script of a shell.
type completionCmd struct {
	Shell string `arg:"" name:"shell" enum:"bash,zsh,fish" help:"The shell: bash, zsh or fish."`
}

// Help returns the text that --help adds.
func (completionCmd) Help() string {
	return `For bash, add "source <(cas completion bash)" to ~/.bashrc; for zsh, the same with zsh to ~/.zshrc, after compinit; for fish, write the output to ~/.config/fish/completions/cas.fish.`
}

// completeCommand is the hidden command by which a shell's script asks for the words that
// may come next. Its arguments are the words so far, the last of them unfinished.
const completeCommand = "__complete"

// completionScripts are the scripts. Where there is no candidate, a shell completes paths.
// Bash gives --flag=value in three words.
var completionScripts = map[string]string{
	"bash": `_cas() {
  local IFS=$'\n' last=${COMP_WORDS[COMP_CWORD]}
  COMPREPLY=($(compgen -W "$(cas ` + completeCommand + ` "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)" -- "${last#=}"))
}
complete -o default -F _cas cas
`,
	"zsh": `#compdef cas
_cas() {
  local -a found
  found=("${(@f)$(cas ` + completeCommand + ` "${(@)words[2,CURRENT]}" 2>/dev/null)}")
  if [[ -n "${found[1]}" ]]; then compadd -a found; else _files; fi
}
compdef _cas cas
`,
	"fish": `function __cas_complete
  set -l found (cas ` + completeCommand + ` (commandline -opc)[2..] (commandline -ct | string collect --allow-empty) 2>/dev/null)
  if set -q found[1]
    printf '%s\n' $found
  else
    __fish_complete_path (commandline -ct)
  end
end
complete -c cas -f -a '(__cas_complete)'
`,
}

// Run prints the script.
func (c completionCmd) Run(std terminal.Streams) error {
	_, err := fmt.Fprint(std.Out, completionScripts[c.Shell])
	return err
}

// complete prints the words that may stand in the place of the last one.
func complete(std terminal.Streams, words []string) int {
	parser, err := newParser(new(cli), std)
	if err != nil {
		terminal.Fail(std.Err, err)
		return exit.Failure
	}
	for _, word := range candidates(parser.Model.Node, words) {
		fmt.Fprintln(std.Out, word)
	}
	return exit.OK
}

// candidates returns the words that may stand in the place of the last word: subcommands,
// flags, or values of an enumeration.
func candidates(node *kong.Node, words []string) []string {
	if len(words) == 0 {
		words = []string{""}
	}
	before, last := words[:len(words)-1], words[len(words)-1]
	// Bash gives --flag=value in three words.
	before = slices.DeleteFunc(slices.Clone(before), func(word string) bool { return word == "=" })
	last = strings.TrimPrefix(last, "=")
	if len(before) > 0 && before[0] == "help" {
		before = before[1:]
	}
	var flag *kong.Flag // whose value comes next
	for _, word := range before {
		switch {
		case flag != nil:
			flag = nil
		case strings.HasPrefix(word, "-"):
			flag = flagBefore(node, word)
		default:
			if child := childOf(node, word); child != nil {
				node = child
			}
		}
	}
	var all []string
	switch {
	case flag != nil:
		all = flag.EnumSlice()
	case strings.HasPrefix(last, "--") && strings.Contains(last, "="):
		name, _, _ := strings.Cut(last, "=")
		if flag := flagBefore(node, name); flag != nil {
			for _, value := range flag.EnumSlice() {
				if value != "" {
					all = append(all, name+"="+value)
				}
			}
		}
	case strings.HasPrefix(last, "-"):
		for _, level := range node.AllFlags(true) {
			for _, f := range level {
				all = append(all, "--"+f.Name)
			}
		}
	default:
		for _, child := range node.Children {
			if !child.Hidden {
				all = append(all, child.Name)
			}
		}
		for _, arg := range node.Positional {
			all = append(all, arg.EnumSlice()...)
		}
	}
	return slices.DeleteFunc(all, func(word string) bool { return word == "" || !strings.HasPrefix(word, last) })
}

func childOf(node *kong.Node, name string) *kong.Node {
	for _, child := range node.Children {
		if child.Name == name {
			return child
		}
	}
	return nil
}

// flagBefore returns the flag whose value is the next word, or nil.
func flagBefore(node *kong.Node, word string) *kong.Flag {
	for _, level := range node.AllFlags(false) {
		for _, f := range level {
			if (word == "--"+f.Name || f.Short != 0 && word == "-"+string(f.Short)) && !f.IsBool() {
				return f
			}
		}
	}
	return nil
}
