// Package value says what a setting of brokerd may hold and reads it, wherever it stands: in a file, a variable, a flag, or the
// controller's log.
package value

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Kind is what a setting holds. The zero Kind is any text.
type Kind struct {
	// Type is the name of the kind for people.
	Type string
	// Least and Greatest are bounds in bytes, in nanoseconds or of the number; Greatest 0 is none.
	Least, Greatest int64
	// Words are the only texts of a choice.
	Words []string
}

// The names of the kinds.
const (
	typeText, typeAddress, typeAddresses, typeFolder, typeFile = "text", "host:port", "list of host:port", "folder", "file"
	typeBytes, typeDuration, typeNumber, typeSwitch, typeWords = "bytes", "duration", "number", "switch", "choice"
)

// The kinds without bounds.
var (
	Text      = Kind{Type: typeText}
	Address   = Kind{Type: typeAddress}   // checked by whoever uses it: what is allowed depends on other settings
	Addresses = Kind{Type: typeAddresses} // as Address
	Folder    = Kind{Type: typeFolder}
	File      = Kind{Type: typeFile} // one that is read; empty: none
	Switch    = Kind{Type: typeSwitch}
)

// Bytes is a size of at least so many bytes, plain or with a unit: 268435456, 256MiB.
func Bytes(least int64) Kind { return Kind{Type: typeBytes, Least: least} }

// BytesUpTo is a size within bounds.
func BytesUpTo(least, greatest int64) Kind {
	return Kind{Type: typeBytes, Least: least, Greatest: greatest}
}

// Duration is a time of at least so much, with a unit: 10s.
func Duration(least time.Duration) Kind { return Kind{Type: typeDuration, Least: int64(least)} }

// Number is a whole number within bounds.
func Number(least, greatest int) Kind {
	return Kind{Type: typeNumber, Least: int64(least), Greatest: int64(greatest)}
}

// Choice is one of some words.
func Choice(words ...string) Kind { return Kind{Type: typeWords, Words: words} }

// IsFile tells whether the setting names a file that is read.
func (k Kind) IsFile() bool { return k.Type == typeFile }

// Unit says how a value is written.
func (k Kind) Unit() string {
	switch k.Type {
	case typeBytes:
		return "bytes, or with KiB, MiB, GiB, TiB"
	case typeDuration:
		return "time with ms, s, m or h"
	case typeSwitch:
		return "true, false"
	case typeWords:
		return strings.Join(k.Words, ", ")
	}
	return ""
}

// Bounds writes the least and the greatest value; empty where there is none.
func (k Kind) Bounds() (least, greatest string) {
	switch k.Type {
	case typeBytes:
		if k.Greatest != 0 {
			greatest = ShortBytes(k.Greatest)
		}
		return ShortBytes(k.Least), greatest
	case typeDuration:
		return time.Duration(k.Least).String(), ""
	case typeNumber:
		return strconv.FormatInt(k.Least, 10), strconv.FormatInt(k.Greatest, 10)
	}
	return "", ""
}

// Check tells what is wrong with a value.
func (k Kind) Check(s string) error {
	var err error
	switch k.Type {
	case typeBytes:
		_, err = k.Bytes(s)
	case typeDuration:
		_, err = k.Duration(s)
	case typeNumber:
		_, err = k.Number(s)
	case typeSwitch:
		_, err = Bool(s)
	case typeWords:
		if !slices.Contains(k.Words, strings.ToLower(s)) {
			err = fmt.Errorf("%q is not one of %s", s, strings.Join(k.Words, ", "))
		}
	}
	return err
}

// Bool reads a switch.
func Bool(s string) (bool, error) {
	b, err := strconv.ParseBool(s)
	if err != nil {
		return false, fmt.Errorf("%q is neither true nor false", s)
	}
	return b, nil
}

// Duration reads a time, which has a unit.
func (k Kind) Duration(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return 0, fmt.Errorf("%q is no duration such as 10s or 500ms", s)
	}
	if least := time.Duration(k.Least); d < least {
		return 0, fmt.Errorf("%s is below the least of %s", s, least)
	}
	return d, nil
}

// Number reads a whole number.
func (k Kind) Number(s string) (int, error) {
	n, err := strconv.Atoi(strings.TrimSpace(s))
	if err != nil || int64(n) < k.Least || int64(n) > k.Greatest {
		return 0, fmt.Errorf("%q is no number from %d to %d", s, k.Least, k.Greatest)
	}
	return n, nil
}

// units are powers of 1024, as operators write them.
var units = []struct {
	suffix string
	factor int64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
	{"KB", 1 << 10}, {"MB", 1 << 20}, {"GB", 1 << 30}, {"TB", 1 << 40},
	{"K", 1 << 10}, {"M", 1 << 20}, {"G", 1 << 30}, {"T", 1 << 40}, {"B", 1},
}

// Bytes reads a size.
func (k Kind) Bytes(s string) (int64, error) {
	s = strings.TrimSpace(s)
	number, factor := s, int64(1)
	for _, u := range units {
		if rest, ok := strings.CutSuffix(s, u.suffix); ok {
			number, factor = strings.TrimSpace(rest), u.factor
			break
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 0 || n > (1<<62)/factor {
		return 0, fmt.Errorf("%q is no size such as 268435456 or 256MiB", s)
	}
	if n*factor < k.Least {
		return 0, fmt.Errorf("%s is below the least of %d bytes", s, k.Least)
	}
	if k.Greatest != 0 && n*factor > k.Greatest {
		return 0, fmt.Errorf("%s is above the greatest of %d bytes", s, k.Greatest)
	}
	return n * factor, nil
}

// ShortBytes writes a size with the largest unit that divides it.
func ShortBytes(n int64) string {
	for i := 3; i >= 0 && n != 0; i-- {
		if u := units[i]; n%u.factor == 0 {
			return strconv.FormatInt(n/u.factor, 10) + u.suffix
		}
	}
	return strconv.FormatInt(n, 10)
}

// Nearest is the one of the names that was probably meant, or begins with what was written; empty if none is near.
func Nearest(name string, among []string) string {
	name = name[:min(len(name), 256)] // somebody's string: keep the work small
	best, dist := "", 1+len(name)/2
	for _, a := range among {
		if name != "" && strings.HasPrefix(a, strings.ToLower(name)) { // begun and not finished
			return a
		}
		if d := distance(strings.ToLower(name), strings.ToLower(a)); d < dist {
			best, dist = a, d
		}
	}
	return best
}

// distance is Levenshtein's.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diag := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			diag, row[j] = row[j], min(row[j]+1, row[j-1]+1, diag+cost)
		}
	}
	return row[len(b)]
}
