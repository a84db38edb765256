package main

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// flagError says of a flag that cannot be read what it wants, in place of the parser's own words.
func flagError(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if errors.As(err, &unknown) && unknown.GetSpecifiedShortnames() == "" {
		return fmt.Errorf("unknown flag --%s%s", unknown.GetSpecifiedName(), didYouMean(unknown.GetSpecifiedName(), "--", flagNames(cmd)))
	}
	var invalid *pflag.InvalidValueError
	if !errors.As(err, &invalid) {
		return err
	}
	f := invalid.GetFlag()
	if errors.Is(err, strconv.ErrRange) {
		return fmt.Errorf("--%s is %q: that number is out of range", f.Name, invalid.GetValue())
	}
	return fmt.Errorf("--%s is %q: give %s", f.Name, invalid.GetValue(), wanted(f.Value.Type()))
}

// wanted is what a flag of a type takes.
func wanted(flagType string) string {
	switch flagType {
	case "int", "int32", "int64", "uint64":
		return "a whole number"
	case "int32Slice":
		return "whole numbers separated by commas, such as 0,2"
	case "float64":
		return "a number"
	case "bool":
		return "true or false, or the flag alone"
	case "duration":
		return "a duration such as 5s"
	}
	return "a " + flagType
}

func flagNames(cmd *cobra.Command) (names []string) {
	add := func(f *pflag.Flag) {
		if !f.Hidden {
			names = append(names, f.Name)
		}
	}
	cmd.Flags().VisitAll(add)
	cmd.InheritedFlags().VisitAll(add)
	slices.Sort(names)
	return slices.Compact(names)
}

func commandNames(cmd *cobra.Command) (names []string) {
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			names = append(names, c.Name())
		}
	}
	return names
}

// didYouMean is the suggestion that ends an error about a mistyped name; empty if nothing known is near.
func didYouMean(typed, prefix string, known []string) string {
	best, least := "", 3 // two slips at most
	for _, k := range known {
		d := distance(strings.ToLower(typed), k)
		if d < least && d < len(k) {
			best, least = k, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(": did you mean %s%s?", prefix, best)
}

// distance counts the letters to insert, remove or replace to make b of a (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(diagonal+cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
