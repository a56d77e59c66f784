package terminal

import (
	"fmt"
	"strings"
	"time"
)

// progressLine is what a bar shows at one moment.
type progressLine struct {
	verb, name string
	from       int64 // where an earlier attempt ended
	current    int64
	total      int64 // 0: not known
	unit       unit
	beside     string // more text, at the end
	elapsed    time.Duration
}

// unit is what a line counts.
type unit int

const (
	unitBytes  unit = iota
	unitThings      // its amounts are numbers
	unitShares      // its amounts mean nothing to people: only the percentage is shown
)

const (
	leastBar  = 10 // columns of a bar, at least
	leastName = 8  // columns of a name, at least
	mostName  = 40
	// Roomy is the width from which a line also has the amounts.
	Roomy = 80
)

// render returns the line for a terminal of this width: verb and name, a bar, and as many
// figures as fit. The bar stays, however long the name is.
func (l progressLine) render(width int) string {
	figures := l.figures(width)
	verb := l.verb
	if verb != "" {
		verb += " "
	}
	room := width - len([]rune(verb)) - len([]rune(figures)) - 1
	if l.total <= 0 {
		name := Shorten(Printable(l.name), max(leastName, min(mostName, room)))
		if name != "" {
			name += " "
		}
		return cut(verb+name+figures, width)
	}
	name := Shorten(Printable(l.name), min(mostName, max(leastName, room-leastBar-1)))
	if name != "" {
		name += " "
	}
	bar := room - len([]rune(name))
	return cut(verb+name+l.bar(max(leastBar, min(bar, mostName)))+" "+figures, width)
}

// cut keeps the first columns of a line.
func cut(line string, width int) string {
	if runes := []rune(line); len(runes) > width {
		return string(runes[:max(0, width)])
	}
	return line
}

// bar returns a bar of this width.
func (l progressLine) bar(width int) string {
	inner := width - 2
	done := int(int64(inner) * min(l.current, l.total) / l.total)
	head := ""
	if done < inner && done > 0 {
		head = ">"
		done--
	}
	return "[" + strings.Repeat("=", done) + head + strings.Repeat("-", inner-done-len(head)) + "]"
}

// figures returns the percentage, the amounts, the rate and the estimate, of what is known.
func (l progressLine) figures(width int) string {
	var all []string
	rate, seconds := 0.0, l.elapsed.Seconds()
	if seconds > 0 {
		rate = float64(l.current-l.from) / seconds
	}
	if l.total > 0 {
		all = append(all, fmt.Sprintf("%3d%%", 100*min(l.current, l.total)/l.total))
	}
	switch amount := l.amount(l.current); {
	case l.unit == unitShares:
	case l.total <= 0:
		all = append(all, amount)
	case width >= Roomy:
		all = append(all, amount+" of "+l.amount(l.total))
	}
	if l.unit == unitBytes && rate >= 1 {
		all = append(all, Size(int64(rate))+"/s")
	}
	switch {
	case l.total <= 0:
		all = append(all, l.elapsed.Round(time.Second).String())
	case rate > 0 && l.current < l.total:
		left := time.Duration(float64(l.total-l.current) / rate * float64(time.Second))
		all = append(all, max(left.Round(time.Second), time.Second).String()+" left")
	}
	if l.beside != "" {
		all = append(all, l.beside)
	}
	return strings.Join(all, "  ")
}

func (l progressLine) amount(n int64) string {
	if l.unit == unitThings {
		return fmt.Sprint(n)
	}
	return Size(n)
}

// waitingLine is the line of work that has no amount: what it waits for, and how long.
func waitingLine(verb, name string, elapsed time.Duration, width int) string {
	time := elapsed.Round(time.Second).String()
	room := width - len([]rune(verb)) - len(time) - 2
	return cut(verb+" "+Shorten(Printable(name), max(leastName, room))+" "+time, width)
}
