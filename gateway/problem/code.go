// Package problem has the one table of problem codes. A row gives a code its HTTP
// status, title and exit code, and the errors of the program that get this code. The
// gateway, its client, the command and the journal all use this table, so an error has
// the same code everywhere.
package problem

import (
	"errors"
	"slices"
	"time"
)

// Code is a problem's stable, machine-readable name.
//
// It is an error as well: errors.Is(err, problem.BlobInUse) reports whether the
// gateway answered with this code.
type Code string

// Error implements error.
func (c Code) Error() string { return string(c) }

// Codes returns all codes.
func Codes() []Code { return slices.Clone(codes) }

// Known reports whether the table has the code. A newer gateway may answer with
// others.
func (c Code) Known() bool {
	_, ok := rows[c]
	return ok
}

// Status returns the HTTP status of answers with this code.
func (c Code) Status() int { return rows[c].status }

// IsProvider reports whether the code says that a provider refused or failed, or
// can't be reached.
func (c Code) IsProvider() bool { return rows[c].provider }

// Matches reports whether target is the code itself, or the error of the program with
// the same meaning, such as cas.ErrBlobNotFound.
func (c Code) Matches(target error) bool {
	sentinel := rows[c].sentinel
	return target == error(c) || sentinel != nil && target == sentinel
}

// OfBodyless returns the code that a status means in an answer without a body, such as
// one to HEAD; "" if the status may mean several codes.
func OfBodyless(status int) Code {
	for _, code := range codes {
		if r := rows[code]; r.bodyless && r.status == status {
			return code
		}
	}
	return ""
}

// Error is an error whose code and text are meant for clients.
type Error struct {
	Code   Code
	Detail string
	// RetryAfter is the time until the same request may succeed; 0: that of the code.
	RetryAfter time.Duration
}

// New returns an *Error.
func New(code Code, detail string) error { return &Error{Code: code, Detail: detail} }

// Error implements error.
func (e *Error) Error() string { return e.Detail }

// Unwrap returns the code.
func (e *Error) Unwrap() error { return e.Code }

// paramError names the field or parameter that an error is about.
type paramError struct {
	param string
	error
}

func (e *paramError) Unwrap() error { return e.error }

// WithParam names the field or parameter that err is about; nil stays nil.
func WithParam(param string, err error) error {
	if err == nil {
		return nil
	}
	return &paramError{param, err}
}

// matches reports whether the row is the one of err.
func (r row) matches(err error) bool {
	return r.sentinel != nil && errors.Is(err, r.sentinel) ||
		slices.ContainsFunc(r.causes, func(cause error) bool { return errors.Is(err, cause) })
}
