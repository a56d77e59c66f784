package settings

import (
	"fmt"
	"os"
	"reflect"
	"strings"

	"github.com/alecthomas/kong"
)

// Secret is a secret setting. Secrets are never flags, because every user of a machine
// can read the arguments of its processes. The tags of a field of this type are
// `kong:"-"` and `secret:"…"` with the name of its environment variable. The value comes
// from that variable, or from the file that the variable with _FILE after its name
// names.
type Secret string

// String keeps a secret out of text printed with %v and %s.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return "(secret)"
}

// Reveal returns the secret's value.
func (s Secret) Reveal() string { return string(s) }

// secretField is one secret setting of a command.
type secretField struct {
	variable, help string
	value          reflect.Value
}

// secretFields finds the secrets of a command, also those in embedded structs.
func secretFields(v reflect.Value) []secretField {
	var fields []secretField
	if v.Kind() != reflect.Struct {
		return nil
	}
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if variable := f.Tag.Get("secret"); variable != "" {
			fields = append(fields, secretField{variable, f.Tag.Get("help"), v.Field(i)})
		} else if f.Anonymous {
			fields = append(fields, secretFields(v.Field(i))...)
		}
	}
	return fields
}

// LoadSecrets sets the secrets of the selected command.
func LoadSecrets(command *kong.Node) error {
	if command == nil {
		return nil
	}
	for _, f := range secretFields(command.Target) {
		value, err := LookupSecret(f.variable)
		if err != nil {
			return err
		}
		f.value.SetString(value)
	}
	return nil
}

// SecretSource says where the value of a secret that is set comes from.
func SecretSource(variable string) string {
	if os.Getenv(variable) == "" {
		return fmt.Sprintf("the file %s (%s_FILE)", os.Getenv(variable+"_FILE"), variable)
	}
	return variable
}

// LookupSecret reads a secret from its variable or its file. It returns "" if neither
// is set.
func LookupSecret(variable string) (string, error) {
	value, file := os.Getenv(variable), os.Getenv(variable+"_FILE")
	switch {
	case value != "" && file != "":
		return "", fmt.Errorf("%s and %s_FILE are both set; unset one", variable, variable)
	case file == "":
		return value, nil
	}
	content, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("%s_FILE: %w", variable, err)
	}
	value = strings.TrimRight(string(content), "\r\n")
	if value == "" {
		return "", fmt.Errorf("%s_FILE: %s is empty", variable, file)
	}
	return value, nil
}

// PrintHelp prints the help of a command, and the secrets that it reads from the
// environment. It implements kong.HelpPrinter.
func PrintHelp(options kong.HelpOptions, ctx *kong.Context) error {
	if err := kong.DefaultHelpPrinter(options, ctx); err != nil {
		return err
	}
	node := ctx.Selected()
	if node == nil || options.Summary {
		return nil
	}
	fields := secretFields(node.Target)
	if len(fields) == 0 {
		return nil
	}
	fmt.Fprintln(ctx.Stdout, "\nSecrets, only from the environment (or from a file, if the variable with _FILE after its name is set):")
	for _, f := range fields {
		fmt.Fprintf(ctx.Stdout, "  %-22s %s\n", f.variable, f.help)
	}
	return nil
}
