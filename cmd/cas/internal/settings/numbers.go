package settings

import (
	"fmt"
	"math"
	"reflect"

	"github.com/alecthomas/kong"
)

// CheckNumbers refuses numbers and durations of the selected command that are negative or not
// numbers: no setting has a meaning for them.
func CheckNumbers(command *kong.Node) error {
	if command == nil {
		return nil
	}
	for node := command; node != nil; node = node.Parent {
		for _, flag := range node.Flags {
			if isBelowZero(flag.Target) {
				return fmt.Errorf("%s must not be negative, and %v is", flagName(flag), flag.Target.Interface())
			}
		}
	}
	return nil
}

func isBelowZero(v reflect.Value) bool {
	switch {
	case v.CanInt():
		return v.Int() < 0
	case v.CanFloat():
		return v.Float() < 0 || math.IsNaN(v.Float())
	}
	return false
}

// flagName names a flag and its variable.
func flagName(flag *kong.Flag) string {
	if len(flag.Envs) == 0 {
		return "--" + flag.Name
	}
	return fmt.Sprintf("--%s (%s)", flag.Name, flag.Envs[0])
}
