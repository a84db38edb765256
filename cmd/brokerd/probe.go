package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

const (
	probeURL   = "http://127.0.0.1:7073/readyz"
	probeEvery = 500 * time.Millisecond
)

// probeCommand asks a broker's HTTP address, for images that hold no other program and for scripts.
func probeCommand(stdout io.Writer) *cobra.Command {
	var wait time.Duration
	c := &cobra.Command{
		Use:   "probe [URL]",
		Short: "Ask a running broker for its readiness; status 0 if it says yes",
		Long: "Asks a running broker's HTTP address, " + probeURL + " unless another URL is given, and prints the answer. The status is 0\n" +
			"if it is 200. With --wait it asks again until then, or until that time is over.",
		Example: "  brokerd probe\n" +
			"  brokerd probe --wait 10m 'http://127.0.0.1:7073/readyz?replicated'   # before the next broker is restarted",
		Args:          cobra.MaximumNArgs(1),
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	c.Flags().DurationVar(&wait, "wait", 0, "how long to ask again for a yes")
	c.RunE = func(c *cobra.Command, args []string) error {
		url := probeURL
		if len(args) > 0 {
			url = args[0]
		}
		return probe(c.Context(), url, wait, stdout)
	}
	return c
}

func probe(ctx context.Context, url string, wait time.Duration, stdout io.Writer) error {
	over := time.After(wait)
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()
	for {
		answer, err := ask(ctx, url)
		if err == nil {
			_, err = fmt.Fprintln(stdout, answer)
			return err
		}
		if wait == 0 {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-over:
			return fmt.Errorf("not within %s: %w", wait, err)
		case <-tick.C:
		}
	}
}

// ask answers a URL's text if the status is 200, else an error that holds it.
func ask(ctx context.Context, url string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 4096))
	if err != nil {
		return "", err
	}
	said := strings.TrimSpace(string(text))
	if resp.StatusCode != http.StatusOK {
		return "", errors.New(resp.Status + ": " + said)
	}
	return said, nil
}
