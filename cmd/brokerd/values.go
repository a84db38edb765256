package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/viper"
)

// boolean is strict, where viper reads an unreadable value as false.
func boolean(v *viper.Viper, key string) (bool, error) {
	s := v.GetString(key)
	b, err := strconv.ParseBool(s)
	if err != nil {
		return false, fmt.Errorf("%q is neither true nor false", s)
	}
	return b, nil
}

// duration is strict and wants a unit.
func duration(v *viper.Viper, key string) (time.Duration, error) {
	s := v.GetString(key)
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return 0, fmt.Errorf("%q is no duration such as 10s or 500ms", s)
	}
	return d, nil
}

// positive is duration for what cannot be nothing.
func positive(v *viper.Viper, key string) (time.Duration, error) {
	d, err := duration(v, key)
	if err == nil && d == 0 {
		return 0, fmt.Errorf("%q is no time at all: give one such as 5m", v.GetString(key))
	}
	return d, err
}

// count reads a whole number from 1 to most.
func count(v *viper.Viper, key string, most int) (int, error) {
	s := strings.TrimSpace(v.GetString(key))
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > most {
		return 0, fmt.Errorf("%q is no number from 1 to %d", s, most)
	}
	return n, nil
}

// rack is the setting, or the line of the file that rackfile names. An empty file is no rack.
func rack(v *viper.Viper) (string, error) {
	name, file := v.GetString("rack"), v.GetString("rackfile")
	if file == "" {
		return name, nil
	}
	if name != "" {
		return "", fmt.Errorf("%q is given and rackfile too: give one of them", name)
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("rackfile: %w", err)
	}
	name = strings.TrimSpace(string(raw))
	if strings.ContainsAny(name, "\r\n") {
		return "", fmt.Errorf("rackfile: %s must hold one line", file)
	}
	return name, nil
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

// size reads bytes, plain or with a unit of 1024: 268435456, 256MiB.
func size(v *viper.Viper, key string, least int64) (int64, error) {
	s := strings.TrimSpace(v.GetString(key))
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
	if n*factor < least {
		return 0, fmt.Errorf("%s is below the least of %d bytes", s, least)
	}
	return n * factor, nil
}

// didYouMean names the nearest of the known names, if one is near.
func didYouMean(name string, among []string) string {
	best, dist := "", 1+len(name)/2
	for _, a := range among {
		if d := distance(strings.ToLower(name), strings.ToLower(a)); d < dist {
			best, dist = a, d
		}
	}
	if best == "" {
		return "; --print-config lists the settings"
	}
	return fmt.Sprintf("; did you mean %q?", best)
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
