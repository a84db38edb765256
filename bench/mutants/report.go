package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"text/tabwriter"
	"time"
)

func (f *finding) line() string {
	return fmt.Sprintf("%s\t%s\t%s\t%s", f.name, f.layer, f.effort(), f.verdict())
}

func (f *finding) effort() string {
	took := f.took.Round(time.Second / 10).String()
	if f.layer == sim {
		return fmt.Sprintf("%d seeds, %s", f.runs*simChunk, took)
	}
	return took
}

func (f *finding) verdict() string {
	const most = 150
	text := "NOT CAUGHT: " + f.why
	if f.by != "" {
		text = f.by
	}
	if r := []rune(text); len(r) > most {
		text = string(r[:most]) + "..."
	}
	return text
}

func report(found []finding) error {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "\nmutant\tlayer\teffort\tcaught by")
	caught := 0
	for i := range found {
		_, _ = fmt.Fprintln(w, found[i].line())
		if found[i].by != "" {
			caught++
		}
	}
	err := w.Flush()
	missed := slices.DeleteFunc(slices.Clone(found), func(f finding) bool { return f.by != "" })
	for _, f := range missed {
		fmt.Printf("%s, which %s must catch: %s\n", f.name, f.layer, f.why)
	}
	fmt.Printf("caught %d of %d\n", caught, len(found))
	if len(missed) > 0 {
		err = errors.Join(err, fmt.Errorf("%d mutants were not caught: try one with -only NAME -v", len(missed)))
	}
	return err
}
