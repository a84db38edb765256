package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/runnel-io/runnel/cmd/brokerd/broker"
)

// checkCommand reads the settings as brokerd does and looks at what they name. It starts nothing and touches nothing.
func checkCommand(environ []string, stdout io.Writer) *cobra.Command {
	var file string
	c := &cobra.Command{
		Use:   "check-config [--config FILE]",
		Short: "Check the settings and what they name, without starting anything",
		Long: "Reads the file, the variables and the flags as brokerd does, and says what is wrong with them, all at once. It looks also at what can be\n" +
			"known without a start: whether files can be read, the data folder written and the addresses be those of this host, the free space,\n" +
			"the limits of the system, whether the seeds' names are known. It touches nothing and may be run beside a running broker.\n" +
			"The status is 0 if brokerd would start; warnings do not change that.",
		Example:       "  brokerd check-config --config /etc/runnel/runnel.yaml",
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	c.Flags().StringVar(&file, "config", "", "YAML file with settings")
	addFlags(c.Flags())
	c.RunE = func(c *cobra.Command, _ []string) error {
		f := &findings{w: stdout}
		checkAll(c.Context(), f, c, file, environ)
		return f.end()
	}
	return c
}

// checkAll reads the settings, and looks at what they name as far as they can be read.
func checkAll(ctx context.Context, f *findings, c *cobra.Command, file string, environ []string) {
	v, warnings, err := load(c.Flags(), file, environ)
	f.mistakes("settings", err)
	for _, w := range warnings {
		f.warn("settings", "%s", w)
	}
	if v == nil {
		return
	}
	cfg, cfgErr := config(v)
	_, logErr := logger(v, io.Discard)
	f.mistakes("settings", cfgErr)
	f.mistakes("settings", logErr)
	if f.errors == 0 {
		from := map[string]int{}
		for _, t := range told(v, c.Flags()) {
			from[t.Source]++
		}
		f.ok("settings", "%d of %d are set: %d by the file, %d by variables, %d by flags", len(settings)-from["default"], len(settings), from["file"], from["variable"], from["flag"])
	}
	checkFiles(f, v)
	checkTLS(ctx, f, cfg)
	checkFolder(f, cfg)
	checkListen(f, cfg)
	checkSeeds(ctx, f, cfg)
	low := broker.LowLimits()
	for _, l := range low {
		f.warn("limits", "%s", l)
	}
	if len(low) == 0 {
		f.ok("limits", "open files and mappings are enough for many partitions")
	}
}

// findings prints what was found, a line each, and counts it.
type findings struct {
	w                io.Writer
	errors, warnings int
	failed           error // of writing
}

func (f *findings) line(word, of, format string, args ...any) {
	if _, err := fmt.Fprintf(f.w, "%-7s  %-13s  %s\n", word, of, fmt.Sprintf(format, args...)); err != nil && f.failed == nil {
		f.failed = err
	}
}

func (f *findings) ok(of, format string, args ...any) { f.line("ok", of, format, args...) }

func (f *findings) warn(of, format string, args ...any) {
	f.warnings++
	f.line("warning", of, format, args...)
}

func (f *findings) fail(of, format string, args ...any) {
	f.errors++
	f.line("error", of, format, args...)
}

// mistakes takes the joined errors apart.
func (f *findings) mistakes(of string, err error) {
	if err == nil {
		return
	}
	if many, ok := err.(interface{ Unwrap() []error }); ok { //nolint:errorlint // a joined one only, and not what it is wrapped in
		for _, one := range many.Unwrap() {
			f.mistakes(of, one)
		}
		return
	}
	f.fail(of, "%v", err)
}

// end says how it went; the error makes the status 1.
func (f *findings) end() error {
	if f.failed != nil {
		return f.failed
	}
	switch f.errors {
	case 0:
		_, err := fmt.Fprintf(f.w, "brokerd would start with these settings; %s\n", counted(f.warnings, "warning"))
		return err
	case 1:
		return errors.New("there is 1 mistake, see above")
	}
	return fmt.Errorf("there are %d mistakes, see above", f.errors)
}

func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
