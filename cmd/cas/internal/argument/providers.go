package argument

import (
	"slices"
	"strings"

	"casgate/cmd/cas/internal/exit"
)

// Providers returns the provider names in a list, each name once.
func Providers(given []string) ([]string, error) {
	var names []string
	for _, name := range given {
		name = strings.TrimSpace(name)
		if name == "" {
			return nil, exit.Usagef("a provider's name is missing; several are given as kimi,glm")
		}
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names, nil
}

// SomeProviders is Providers, where an empty list is an error: kong accepts one.
func SomeProviders(given []string) ([]string, error) {
	names, err := Providers(given)
	if err == nil && len(names) == 0 {
		return nil, exit.Usagef("no provider is named; give some, such as kimi,glm")
	}
	return names, err
}
