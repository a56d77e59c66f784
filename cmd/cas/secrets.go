package main

import (
	"fmt"
	"os"
	"reflect"
	"strings"

	"github.com/alecthomas/kong"
)

// Secrets are never flags, since every user of a machine can read the arguments
// of its processes. A field of type secret is tagged `kong:"-"` with the name of
// its environment variable in `secret:"…"`; the value comes from that variable,
// or from the file that the variable with _FILE after its name gives.
type secret string

// String keeps a secret out of what is printed with %v and %s.
func (s secret) String() string {
	if s == "" {
		return ""
	}
	return "(secret)"
}

// reveal returns the secret's value.
func (s secret) reveal() string { return string(s) }

// secretField is one secret setting of a command.
type secretField struct {
	variable, help string
	value          reflect.Value
}

// secretFields finds the secrets of a command, in embedded structs too.
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

// loadSecrets fills in the secrets of the command about to run.
func loadSecrets(command *kong.Node) error {
	if command == nil {
		return nil
	}
	for _, f := range secretFields(command.Target) {
		value, err := lookupSecret(f.variable)
		if err != nil {
			return err
		}
		f.value.SetString(value)
	}
	return nil
}

// lookupSecret reads a secret from its variable or its file; empty means that
// neither is set.
func lookupSecret(variable string) (string, error) {
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

// helpWithSecrets prints a command's help and the secrets it takes from the
// environment.
func helpWithSecrets(options kong.HelpOptions, ctx *kong.Context) error {
	if err := kong.DefaultHelpPrinter(options, ctx); err != nil {
		return err
	}
	node := ctx.Selected()
	if node == nil {
		return nil
	}
	fields := secretFields(node.Target)
	if len(fields) == 0 {
		return nil
	}
	fmt.Fprintln(ctx.Stdout, "\nSecrets, from the environment only (or with _FILE after the name, from a file):")
	for _, f := range fields {
		fmt.Fprintf(ctx.Stdout, "  %-22s %s\n", f.variable, f.help)
	}
	return nil
}
