package terminal

import (
	"strings"
	"testing"
	"time"
)

// The lines at 60 and at 120 columns. A long name leaves room for the bar.
func TestProgressLines(t *testing.T) {
	const mib = 1 << 20
	long := strings.Repeat("a-long-name-", 20) + ".bin"
	for _, c := range []struct {
		line         progressLine
		narrow, wide string
	}{
		{progressLine{verb: "sending", name: "report.pdf", current: 5 * mib, total: 20 * mib, elapsed: 2 * time.Second},
			"sending report.pdf [==>-----------]  25%  2.5 MiB/s  6s left",
			"sending report.pdf [========>-----------------------------]  25%  5.0 MiB of 20 MiB  2.5 MiB/s  6s left"},
		{progressLine{verb: "sending", name: long, current: 5 * mib, total: 20 * mib, elapsed: 2 * time.Second},
			"sending a-lon…-name-.bin [=>------]  25%  2.5 MiB/s  6s left",
			"sending a-long-name-a…long-name-a-long-name-.bin [=====>-------------------]  25%  5.0 MiB of 20 MiB  2.5 MiB/s  6s left"},
		{progressLine{verb: "fetching", name: "a\x1b[31mb", from: 10 * mib, current: 20 * mib, total: 20 * mib, elapsed: time.Second},
			`fetching "a\x1b[31mb" [=====================] 100%  10 MiB/s`,
			`fetching "a\x1b[31mb" [======================================] 100%  20 MiB of 20 MiB  10 MiB/s`},
		{progressLine{verb: "sending", name: "-", current: 3 * mib, elapsed: 3 * time.Second},
			"sending - 3.0 MiB  1.0 MiB/s  3s", "sending - 3.0 MiB  1.0 MiB/s  3s"},
		{progressLine{verb: "storing", current: 1, total: 4, unit: unitShares, elapsed: 10 * time.Second, beside: "5000 of 20000 files"},
			"storing [==>-----------]  25%  30s left  5000 of 20000 files",
			"storing [========>-----------------------------]  25%  30s left  5000 of 20000 files"},
		{progressLine{verb: "removing", current: 7, unit: unitThings, elapsed: time.Minute, beside: "0 failed"},
			"removing 7  1m0s  0 failed", "removing 7  1m0s  0 failed"},
		{progressLine{verb: "reading", name: "empty", total: 1, elapsed: time.Second},
			"reading empty [--------------------------------------]   0%", "reading empty [--------------------------------------]   0%  0 B of 1 B"},
	} {
		for width, want := range map[int]string{60: c.narrow, 120: c.wide} {
			if got := c.line.render(width); got != want {
				t.Errorf("%d columns:\n%s\nwant\n%s", width, got, want)
			}
		}
		for width := range 150 {
			if got := []rune(c.line.render(width)); len(got) > width {
				t.Errorf("%d columns: %q has %d", width, string(got), len(got))
			}
		}
	}
	if got := waitingLine("copying", long+" → kimi", 65*time.Second, 60); len([]rune(got)) > 60 || !strings.HasSuffix(got, " 1m5s") {
		t.Errorf("%q", got)
	}
}
