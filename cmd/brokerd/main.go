// Command brokerd is one broker of a Runnel cluster. Without flags it is a working cluster of one under ./runnel-data.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/runnel-io/runnel/cmd/brokerd/broker"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Environ(), os.Stdout, os.Stderr))
}

// run is main without the process: it answers the exit status.
func run(ctx context.Context, args, environ []string, stdout, stderr io.Writer) int {
	root := command(environ, stdout, stderr)
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	if err := root.ExecuteContext(ctx); err != nil {
		if !errors.Is(err, context.Canceled) {
			fmt.Fprintf(stderr, "brokerd: %v\n", err)
		}
		return 1
	}
	return 0
}

func command(environ []string, stdout, stderr io.Writer) *cobra.Command {
	var file string
	var print bool
	root := &cobra.Command{
		Use:   "brokerd",
		Short: "One broker of a Runnel cluster",
		Long: "brokerd is one broker of a Runnel cluster. Without flags it is a working cluster of one under ./runnel-data.\n" +
			"Every setting is a key of the file given by --config, a variable and a flag, in rising order:\n" +
			"data.dir, RUNNEL_DATA_DIR and --data-dir are the same setting.",
		Version:       broker.Version(),
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetVersionTemplate("brokerd {{.Version}}\n")
	root.Flags().StringVar(&file, "config", "", "YAML file with settings")
	root.Flags().BoolVar(&print, "print-config", false, "print the settings in force and stop")
	addFlags(root.Flags())
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		var unknown *pflag.NotExistError
		if errors.As(err, &unknown) {
			return fmt.Errorf("unknown flag --%s%s", unknown.GetSpecifiedName(), didYouMean("--"+unknown.GetSpecifiedName(), flagNames(c)))
		}
		return err
	})
	root.RunE = func(c *cobra.Command, _ []string) error {
		v, warnings, err := load(c.Flags(), file, environ)
		if err != nil && v == nil {
			return err
		}
		cfg, cfgErr := config(v)
		log, logErr := logger(v, stderr)
		if err := errors.Join(err, cfgErr, logErr); err != nil {
			return err
		}
		if cfg.LogLevel > slog.LevelWarn {
			warnings = nil
		}
		for _, w := range warnings {
			log.Warn("a variable is ignored", "component", "brokerd", "reason", w)
		}
		if print {
			return printConfig(stdout, v)
		}
		cfg.Log, cfg.Settings, cfg.Watch = log, told(v, c.Flags()), newNotifier(environ, log).watch
		return broker.Run(c.Context(), cfg)
	}
	root.AddCommand(devCommand(stdout, stderr), controllerCommand(stdout, stderr), checkCommand(environ, stdout), probeCommand(stdout),
		zoneCommand(environ, stdout))
	return root
}

func flagNames(c *cobra.Command) []string {
	var out []string
	c.Flags().VisitAll(func(f *pflag.Flag) { out = append(out, "--"+f.Name) })
	return out
}
