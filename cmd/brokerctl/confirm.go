package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// isTerminal tells whether a reader or writer is a terminal.
func isTerminal(rw any) bool {
	f, ok := rw.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// confirm asks whoever sits at a terminal for consent to a loss, which what names as a sentence without its end. Elsewhere
// only the flag consents: a script must not hang, nor consent by accident.
func (a *app) confirm(ctx context.Context, yes bool, what string) error {
	if yes {
		return nil
	}
	if !a.inTTY {
		return fmt.Errorf("%s: say so with --yes", what)
	}
	if _, err := fmt.Fprintf(a.errOut, "%s. Go on? [y/N] ", what); err != nil {
		return fmt.Errorf("%s, and the question cannot be asked: %w", what, err)
	}
	answer, err := bufio.NewReader(newInterruptible(ctx, a.in)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	return errors.New("nothing was changed")
}
