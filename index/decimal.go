package index

import (
	"encoding/json"
	"strconv"
	"strings"
)

// Decimal brings a number into the one form that all numbers of its value have, which
// is nobody's to read. Ok is false for one that is too long, or too large or small, to
// be kept.
func Decimal(number json.Number) (canonical string, ok bool) {
	text, exponentText, hasExponent := strings.Cut(strings.ToLower(string(number)), "e")
	exponent := 0
	if hasExponent {
		var err error
		if exponent, err = strconv.Atoi(exponentText); err != nil || exponent > maxExponent || exponent < -maxExponent {
			return "", false
		}
	}
	if len(number) > maxMetadataNumber {
		return "", false
	}
	text, negative := strings.CutPrefix(text, "-")
	whole, fraction, _ := strings.Cut(text, ".")
	digits := strings.TrimLeft(whole+fraction, "0")
	exponent -= len(fraction)
	short := strings.TrimRight(digits, "0")
	if short == "" {
		return "0", true
	}
	exponent += len(digits) - len(short)
	sign := ""
	if negative {
		sign = "-"
	}
	return sign + short + "e" + strconv.Itoa(exponent), true
}
