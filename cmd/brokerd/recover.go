package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/runnel-io/runnel/cmd/brokerd/rescue"
)

// controllerCommand is for the controller group of a cluster that cannot help itself.
func controllerCommand(stdout, stderr io.Writer) *cobra.Command {
	c := &cobra.Command{Use: "controller", Short: "Recover the controller group by hand", Args: cobra.NoArgs}
	c.AddCommand(recoverCommand(stdout, stderr))
	return c
}

func recoverCommand(stdout, stderr io.Writer) *cobra.Command {
	var dir, note string
	var accept, yes bool
	c := &cobra.Command{
		Use:   "recover --data-dir DIR [--accept-data-loss]",
		Short: "Give up a majority of the controller group that is lost for good, and go on with this broker's replica",
		Long: "Give up a majority of the controller group that is lost for good, and go on with the replica in this broker's data folder. The broker must\n" +
			"not run. Without --accept-data-loss it changes nothing that a start would not, and shows what is there: look into the folders of all\n" +
			"brokers that are left, and recover the one whose log ends in the highest term, and at the highest entry of that term. Recover one only.\n\n" +
			"The brokers that were given up must never run again where they cannot reach this one: a majority of them would be a second controller\n" +
			"of the same cluster. Empty their data folders, or see to it that they stay off. One that comes back and reaches this broker gets a new\n" +
			"replica of the controller group by itself, and keeps its partitions.",
		Example: "  brokerd controller recover --data-dir /var/lib/runnel\n" +
			"  brokerd controller recover --data-dir /var/lib/runnel --accept-data-loss --note 'racks a and b burnt down'",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if yes && !accept {
				return errors.New("--yes alone recovers nothing: say --accept-data-loss too")
			}
			f, err := rescue.Open(dir, slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelWarn})))
			if err != nil {
				return err
			}
			err = recoverFolder(c.Context(), f, stdout, stderr, c.InOrStdin(), note, accept, yes)
			return errors.Join(err, f.Close())
		},
	}
	f := c.Flags()
	f.StringVar(&dir, "data-dir", "", "data folder of the broker that is to keep the cluster")
	f.BoolVar(&accept, "accept-data-loss", false, "recover it, and lose what only the others hold")
	f.BoolVar(&yes, "yes", false, "with --accept-data-loss: without being asked")
	f.StringVar(&note, "note", "", "who does it and why, for the controller's log")
	if err := c.MarkFlagRequired("data-dir"); err != nil {
		panic(err) // the flag is defined above
	}
	return c
}

func recoverFolder(ctx context.Context, f *rescue.Folder, stdout, stderr io.Writer, stdin io.Reader, note string, accept, yes bool) error {
	r, err := f.Look()
	if err != nil {
		return err
	}
	to := stdout
	if accept {
		to = stderr // shown before the question, to whoever answers it
	}
	if err := show(to, r); err != nil {
		return err
	}
	if !accept {
		_, err := fmt.Fprintln(stdout, "\nnothing was recovered: --accept-data-loss does it")
		return err
	}
	if !r.Alone() {
		if err := consent(ctx, stdin, stderr, yes); err != nil {
			return err
		}
	}
	if err := f.Recover(r, note); err != nil {
		return err
	}
	_, err = fmt.Fprintf(stdout, "recovered: broker %d is the controller of cluster %s. Start it, then the other brokers; "+
		"partitions without a majority: brokerctl partition recover\n", r.Identity.BrokerID, r.Identity.ClusterID)
	return err
}

// show tells what a folder holds and what a recovery would lose.
func show(w io.Writer, r *rescue.Report) error {
	var b strings.Builder
	role := "votes"
	if !r.Votes {
		role = "does not vote and may lack more than a voter"
	}
	fmt.Fprintf(&b, "cluster %s\nbroker %d, its replica %d of the controller group %s\nlast entry %d of term %d", r.Identity.ClusterID, r.Identity.BrokerID, r.Replica, role, r.Last, r.Term)
	if at := r.LastAppend(); !at.IsZero() {
		fmt.Fprintf(&b, ", a command was written at %s", at.UTC().Format(time.RFC3339))
	}
	fmt.Fprintf(&b, "\n%d brokers: %s\n%d topics: %s\n\n", len(r.State.Brokers), some(r.State.BrokerIDs()), len(r.State.Topics), some(r.State.TopicNames()))
	if r.Alone() {
		b.WriteString("No other replica votes: nothing is to be recovered, start the broker.\n")
		_, err := io.WriteString(w, b.String())
		return err
	}
	b.WriteString("These replicas would be given up for good:\n")
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "REPLICA\tBROKER\tADDRESS\tROLE")
	for _, m := range r.Others {
		role := "learner"
		if m.Votes {
			role = "voter"
		}
		broker, address := "?", "?"
		if m.Broker != 0 {
			broker = fmt.Sprint(m.Broker)
		}
		if m.Address != "" {
			address = m.Address
		}
		fmt.Fprintf(t, "%d\t%s\t%s\t%s\n", m.Replica, broker, address, role)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	b.WriteString("\nLost would be what the voters among them agreed on after that last entry: topics made, changed or deleted, brokers that joined or went,\n" +
		"replicas that moved. What is in this log counts as agreed on, also what never was. No records\n" +
		"are deleted, but those of topics and partitions that lost commands made can no longer be read.\n" +
		"Those brokers must not run again where they cannot reach this one: a majority of them would be a second controller.\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// some names the first of many.
func some[T any](all []T) string {
	const most = 20
	var words []string
	for _, x := range all[:min(most, len(all))] {
		words = append(words, fmt.Sprint(x))
	}
	if len(all) > most {
		words = append(words, "...")
	}
	return strings.Join(words, ", ")
}

// consent asks whoever sits at a terminal. Elsewhere only the flag consents: a script must not hang, nor consent by accident.
func consent(ctx context.Context, stdin io.Reader, stderr io.Writer, yes bool) error {
	const what = "recovering the controller group loses what only those replicas hold"
	if yes {
		return nil
	}
	if f, ok := stdin.(*os.File); !ok || !term.IsTerminal(int(f.Fd())) {
		return fmt.Errorf("%s: say so with --yes", what)
	}
	if _, err := fmt.Fprintf(stderr, "%s. Go on? [y/N] ", what); err != nil {
		return err
	}
	said := make(chan string, 1)
	go func() { // outlives an interrupted wait; the process ends then
		line, _ := bufio.NewReader(stdin).ReadString('\n') // an end of input is no consent
		said <- line
	}()
	select {
	case line := <-said:
		switch strings.ToLower(strings.TrimSpace(line)) {
		case "y", "yes":
			return nil
		}
		return errors.New("nothing was changed")
	case <-ctx.Done():
		return ctx.Err()
	}
}
