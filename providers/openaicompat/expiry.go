package openaicompat

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// secondsPlaceholder stands for the lifetime in the value of a form's field.
const secondsPlaceholder = "{seconds}"

func (e *Expiry) validate() error {
	if e == nil {
		return nil
	}
	if e.MinSeconds < 0 || e.MaxSeconds < 0 || e.MaxSeconds > 0 && e.MaxSeconds < e.MinSeconds {
		return errors.New("a limit is out of range")
	}
	named := false
	for field, value := range e.Fields {
		if !settable(field) {
			return fmt.Errorf("the field %q can't be set", field)
		}
		named = named || strings.Contains(value, secondsPlaceholder)
	}
	if !named {
		return errors.New("none of its fields has " + secondsPlaceholder)
	}
	return nil
}

// settling returns the API with another settling time; 0 means its own.
func (a API) settling(t time.Duration) API {
	if t <= 0 {
		return a
	}
	a.Purposes = slices.Clone(a.Purposes)
	for i := range a.Purposes {
		a.Purposes[i].SettlingSeconds = t.Seconds()
	}
	return a
}

// expiring returns the API with uploads that ask for deletion after a lifetime. A
// purpose that the provider keeps for a shorter time keeps its own lifetime.
func (a API) expiring(lifetime time.Duration) (API, error) {
	seconds := int64(lifetime / time.Second)
	switch {
	case lifetime == 0:
		return a, nil
	case a.Expiry == nil:
		return a, errors.New("can't be set: no way is known to give an upload a lifetime")
	case seconds < max(a.Expiry.MinSeconds, 1):
		return a, fmt.Errorf("is %s; the provider takes %s or more", lifetime, time.Duration(max(a.Expiry.MinSeconds, 1))*time.Second)
	case a.Expiry.MaxSeconds > 0 && seconds > a.Expiry.MaxSeconds:
		return a, fmt.Errorf("is %s; the provider takes %s or less", lifetime, time.Duration(a.Expiry.MaxSeconds)*time.Second)
	}
	fields := maps.Clone(a.Fields)
	if fields == nil {
		fields = make(map[string]string)
	}
	for field, value := range a.Expiry.Fields {
		fields[field] = strings.ReplaceAll(value, secondsPlaceholder, strconv.FormatInt(seconds, 10))
	}
	a.Fields = fields
	a.Purposes = slices.Clone(a.Purposes)
	for i, p := range a.Purposes {
		if p.LifetimeSeconds == 0 || p.LifetimeSeconds > seconds {
			a.Purposes[i].LifetimeSeconds = seconds
		}
	}
	return a, nil
}
