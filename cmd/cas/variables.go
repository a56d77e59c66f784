package main

import (
	"reflect"
	"slices"
	"strings"

	"casgate/cmd/cas/internal/settings"
	"casgate/cmd/cas/internal/wiring"
)

// variables returns the environment variables of all commands, with those of the configured
// providers.
func variables(c settings.Providers) map[string]bool {
	known := map[string]bool{settings.ConfigVariable: true}
	addVariables(known, reflect.TypeFor[cli]())
	for _, name := range wiring.ProviderVariables(c) {
		known[name] = true
	}
	return known
}

// addVariables adds the variables of a struct's fields, which the tags name.
func addVariables(known map[string]bool, of reflect.Type) {
	if of.Kind() != reflect.Struct {
		return
	}
	for i := range of.NumField() {
		field := of.Field(i)
		if name := field.Tag.Get("env"); name != "" {
			known[name] = true
		}
		if name := field.Tag.Get("secret"); name != "" {
			known[name], known[name+"_FILE"] = true, true
		}
		addVariables(known, field.Type)
	}
}

// unknownVariables returns the names of an environment that look like settings of cas, and
// are none: likely typing errors.
func unknownVariables(environment []string, c settings.Providers) []string {
	known := variables(c)
	var unknown []string
	for _, entry := range environment {
		name, _, _ := strings.Cut(entry, "=")
		if strings.HasPrefix(name, "CAS_") && !strings.HasPrefix(name, "CAS_TEST_") && !known[name] && !wiring.MayBeOfProvider(c, name) {
			unknown = append(unknown, name)
		}
	}
	slices.Sort(unknown)
	return unknown
}
