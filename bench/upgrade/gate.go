package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/runnel-io/runnel/bench/trial"
	"github.com/runnel-io/runnel/placement"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// refusedWithin is how long a broker of the previous build has to say that it cannot go on.
const refusedWithin = 15 * time.Second

// saysSo is how it does.
var saysSo = regexp.MustCompile(`upgrade this broker|run the version that wrote it`)

// newChange is a change of newLevel. What has a higher level takes a partition that is stuck to make.
var newChange = &runnelv1.AlterSettingsRequest{Set: map[string]string{"log.level": "info"}}

const newLevel = 2

// levelOf finds the level of commands that a source reads; those from before there were levels read the first.
func levelOf(source string) (int, error) {
	text, err := os.ReadFile(filepath.Join(source, "placement", "level.go"))
	if errors.Is(err, os.ErrNotExist) {
		return 1, nil
	}
	if err != nil {
		return 0, err
	}
	m := regexp.MustCompile(`(?m)^const Level = ([0-9]+)$`).FindSubmatch(text)
	if m == nil {
		return 0, fmt.Errorf("%s tells no level", source)
	}
	return strconv.Atoi(string(m[1]))
}

// newer tells whether the previous build does not read newChange.
func (r *run) newer() bool { return r.previousLevel < newLevel }

// refused sees that a change which the previous build does not read is refused while a broker runs it.
func (r *run) refused(ctx context.Context) error {
	if !r.newer() {
		return nil
	}
	call, cancel := context.WithTimeout(ctx, refusedWithin)
	defer cancel()
	_, err := r.cl.Admin().AlterSettings(call, newChange)
	if e := runnelv1.AsError(err); e.GetKind() != runnelv1.ErrorKind_ERROR_KIND_DEFINITE || !strings.Contains(e.GetMessage(), "upgrade") {
		return fmt.Errorf("a change that the previous build does not read is to be refused in words while a broker runs it: %w", err)
	}
	fmt.Printf("%-14s mixed: refused: %v\n", "", err)
	return nil
}

// end makes a change that the previous build does not read, sees that a broker of it is refused in words from then on, and that this
// build goes on in its place.
func (r *run) end(ctx context.Context) error {
	if !r.newer() {
		fmt.Printf("the previous build reads all that was written (it has level %d, this one %d): the way back stays open\n", r.previousLevel, placement.Level)
		return nil
	}
	if _, err := r.cl.Admin().AlterSettings(ctx, newChange); err != nil {
		return fmt.Errorf("all brokers run this build, and a change of its level fails: %w", err)
	}
	b := r.cluster.Brokers[brokers-1]
	if err := b.Stop(ctx); err != nil {
		return err
	}
	b.Run(r.previous.program)
	before, err := os.ReadFile(b.LogFile())
	if err != nil {
		return err
	}
	if err := b.Start(); err != nil {
		return err
	}
	said := ""
	if err := trial.Until(ctx, refusedWithin, func(context.Context) error {
		log, err := os.ReadFile(b.LogFile())
		if err != nil {
			return err
		}
		for line := range bytes.Lines(log[len(before):]) {
			if saysSo.Match(line) {
				said = string(bytes.TrimSpace(line))
				return nil
			}
		}
		return errors.New("the previous build, after a change that it does not read, does not say that it is to be upgraded")
	}); err != nil {
		return err
	}
	fmt.Printf("the way back is over after a change of level %d; the previous build says: %s\n", newLevel, said)
	if err := b.Stop(ctx); err != nil {
		return err
	}
	b.Run(r.now.program)
	if err := b.Start(); err != nil {
		return err
	}
	ready, cancel := context.WithTimeout(ctx, readyIn)
	defer cancel()
	if err := b.Ready(ready); err != nil {
		return err
	}
	for _, t := range r.trials {
		v, err := t.Again(ctx)
		if err == nil {
			err = v.Err()
		}
		if err != nil {
			return fmt.Errorf("after the previous build had run once more: %w", err)
		}
	}
	return nil
}
