package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

const (
	defaultBrokers = "127.0.0.1:7070"
	defaultTimeout = 30 * time.Second
	// questionTimeout is the default of commands that only ask: without a broker a person should not wait long to hear it.
	questionTimeout = 10 * time.Second
	// completionTimeout bounds what a Tab waits for topic names.
	completionTimeout = 2 * time.Second
)

// question marks, as an annotation, a command that only asks; see questionTimeout.
const question = "question"

func asks() map[string]string { return map[string]string{question: "yes"} }

// app is what all commands share: where to read and write, how to reach a cluster, and the global flags.
type app struct {
	in          io.Reader
	out, errOut io.Writer
	getenv      func(string) string
	connect     func(seeds []string, s connectSpec) (cluster, error)
	// inTTY and errTTY tell whether a person sits there: who can be asked, and to whom a bar can be shown.
	inTTY, errTTY bool

	brokers string
	output  string
	timeout time.Duration
	tls     tlsFlags
}

func newRoot(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:           "brokerctl",
		Short:         "Operate a Runnel cluster, produce and consume records, measure it",
		SilenceUsage:  true,
		SilenceErrors: true,
		Version:       buildVersion().String(),
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownCommand(cmd, args[0])
			}
			return nil
		},
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			if cmd.Annotations[question] != "" && !cmd.Flags().Changed("timeout") {
				a.timeout = questionTimeout
			}
			if a.output != "table" && a.output != "json" {
				return fmt.Errorf("-o is %q: use table or json", a.output)
			}
			if a.timeout <= 0 {
				return fmt.Errorf("--timeout is %v: use a time above 0, such as 30s", a.timeout)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.AddCommand(a.doctorCmd())
	root.SetVersionTemplate("{{.Version}}\n")
	root.SetFlagErrorFunc(flagError)
	f := root.PersistentFlags()
	f.StringVar(&a.brokers, "brokers", "", "brokers to ask first, host:port,... (default $RUNNEL_BROKERS or "+defaultBrokers+")")
	f.StringVarP(&a.output, "output", "o", "table", "output format: table or json")
	f.DurationVar(&a.timeout, "timeout", defaultTimeout, fmt.Sprintf("how long to wait for the cluster (commands that only ask: %v)", questionTimeout))
	a.tls.define(f)
	mustComplete(root, "output", "table", "json")
	root.AddCommand(a.topicCmd(), a.produceCmd(), a.consumeCmd(), a.brokerCmd(), a.partitionCmd(), a.placementCmd(), a.clusterCmd(), a.benchCmd(), a.certsCmd(), a.versionCmd())
	return root
}

// noun makes a command that only carries others. Cobra would print its help and succeed when the verb is mistyped.
func noun(use, short string, verbs ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{
		Use:   use,
		Short: short,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownCommand(cmd, args[0])
			}
			return fmt.Errorf("%s needs a command: %s", verb(cmd), strings.Join(commandNames(cmd), ", "))
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	c.AddCommand(verbs...)
	return c
}

// unknownCommand suggests what was meant, or lists what there is.
func unknownCommand(cmd *cobra.Command, name string) error {
	if guess := didYouMean(name, "", commandNames(cmd)); guess != "" {
		return fmt.Errorf("unknown command %q%s", name, guess)
	}
	return fmt.Errorf("unknown command %q: %s has %s", name, verb(cmd), strings.Join(commandNames(cmd), ", "))
}

// verb is the command without the program's name, which every error begins with.
func verb(cmd *cobra.Command) string {
	return strings.TrimPrefix(cmd.CommandPath(), cmd.Root().Name()+" ")
}

// mustComplete offers fixed values for a flag.
func mustComplete(cmd *cobra.Command, flag string, values ...string) {
	mustCompleteWith(cmd, flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
}

// mustCompleteWith offers what f answers for a flag. It fails only for a flag that is not there: a programmer's error.
func mustCompleteWith(cmd *cobra.Command, flag string, f cobra.CompletionFunc) {
	if err := cmd.RegisterFlagCompletionFunc(flag, f); err != nil {
		panic(err)
	}
}

// seeds are the brokers to ask first: the flag, else the environment, else a broker on this machine.
func (a *app) seeds() ([]string, error) {
	from, s := "--brokers", a.brokers
	if s == "" {
		from, s = "RUNNEL_BROKERS", a.getenv("RUNNEL_BROKERS")
	}
	if s == "" {
		from, s = "the default", defaultBrokers
	}
	var seeds []string
	for _, seed := range strings.Split(s, ",") {
		seed = strings.TrimSpace(seed)
		if seed == "" {
			continue
		}
		if _, port, err := net.SplitHostPort(seed); err != nil || port == "" {
			return nil, fmt.Errorf("%s has %q: use host:port, several separated by commas", from, seed)
		}
		seeds = append(seeds, seed)
	}
	if len(seeds) == 0 {
		return nil, fmt.Errorf("%s names no broker: use host:port, several separated by commas", from)
	}
	return seeds, nil
}

// open makes a client of the cluster. Close it.
func (a *app) open(s connectSpec) (cluster, error) {
	seeds, err := a.seeds()
	if err != nil {
		return nil, err
	}
	if s.tls, err = a.tls.config(a.getenv); err != nil {
		return nil, err
	}
	return a.connect(seeds, s)
}

// with runs f with a client of the cluster.
func (a *app) with(s connectSpec, f func(cluster) error) (err error) {
	c, err := a.open(s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	return f(c)
}

// ask runs one question to the cluster within the time-out.
func (a *app) ask(ctx context.Context, f func(context.Context, cluster) error) error {
	return a.with(connectSpec{}, func(c cluster) error {
		ctx, cancel := context.WithTimeout(ctx, a.timeout)
		defer cancel()
		return f(ctx, c)
	})
}

// explain makes one line of an error, with what to do where the cluster could not know it.
func (a *app) explain(err error) string {
	var lines []string
	for _, l := range strings.FieldsFunc(err.Error(), func(r rune) bool { return r == '\n' || r == '\r' }) {
		if !slices.Contains(lines, l) { // a full disk fails the write and the close
			lines = append(lines, l)
		}
	}
	text := strings.Join(lines, "; ")
	if errors.Is(err, context.Canceled) {
		return "interrupted"
	}
	var e *runnelv1.Error
	if !errors.As(err, &e) && !errors.Is(err, context.DeadlineExceeded) {
		return text
	}
	seeds, seedsErr := a.seeds()
	if seedsErr != nil {
		return text
	}
	if strings.Contains(text, "no broker answers at ") { // it names the addresses, and more time would not help
		if strings.Contains(text, "TLS") {
			return text + " (" + tlsHint + ")"
		}
		return text + " (--brokers or RUNNEL_BROKERS names others)"
	}
	switch e.GetReason() {
	case runnelv1.ErrorReason_ERROR_REASON_UNAVAILABLE, runnelv1.ErrorReason_ERROR_REASON_TIMEOUT, runnelv1.ErrorReason_ERROR_REASON_UNSPECIFIED:
		return fmt.Sprintf("%s (asked %s for up to %v; --brokers, RUNNEL_BROKERS and --timeout change that)",
			text, strings.Join(seeds, ","), a.timeout)
	}
	return text
}

// keyValues parses k=v arguments of a repeatable flag.
func keyValues(flag string, args []string) (map[string]string, error) {
	m := make(map[string]string, len(args))
	for _, arg := range args {
		k, v, ok := strings.Cut(arg, "=")
		if !ok || k == "" {
			return nil, fmt.Errorf("%s has %q: use name=value", flag, arg)
		}
		if _, twice := m[k]; twice {
			return nil, fmt.Errorf("%s names %s twice: say it once", flag, k)
		}
		m[k] = v
	}
	return m, nil
}
