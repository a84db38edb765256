package main

import (
	"bufio"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

//go:embed PREVIOUS
var previousFile string

// sourceName is the folder of the previous build's source.
const sourceName = "previous"

// errMissing is that the repository does not have the commit.
var errMissing = errors.New("the previous build cannot be had")

// previousCommit is the one that the file names.
func previousCommit(text string) (string, error) {
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			return line, nil
		}
	}
	return "", errors.New("bench/upgrade/PREVIOUS names no commit")
}

// release is what both builds call themselves, so that a list of brokers tells them apart.
const release = "github.com/runnel-io/runnel/cmd/brokerd/broker.version"

// buildPrevious takes a commit out of git into dir and compiles its brokerd.
func buildPrevious(ctx context.Context, dir, commit string) (program string, err error) {
	if out, err := exec.CommandContext(ctx, "git", "cat-file", "-e", commit+"^{commit}").CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: git has no commit %s here (a shallow clone? git fetch --unshallow): %s", errMissing, commit, strings.TrimSpace(string(out)))
	}
	source := filepath.Join(dir, sourceName)
	if err := extract(ctx, source, commit); err != nil {
		return "", fmt.Errorf("the source of %s: %w", commit, err)
	}
	program = filepath.Join(dir, "brokerd-previous")
	return program, compile(ctx, source, program, "previous-"+commit)
}

// extract is git archive, unpacked.
func extract(ctx context.Context, to, commit string) (err error) {
	if err := os.Mkdir(to, 0o755); err != nil {
		return err
	}
	top, err := exec.CommandContext(ctx, "git", "rev-parse", "--show-toplevel").Output()
	if err != nil {
		return err
	}
	tree := exec.CommandContext(ctx, "git", "-C", strings.TrimSpace(string(top)), "archive", "--format=tar", commit)
	unpack := exec.CommandContext(ctx, "tar", "-xf", "-", "-C", to)
	pipe, err := tree.StdoutPipe()
	if err != nil {
		return err
	}
	unpack.Stdin, tree.Stderr, unpack.Stderr = bufio.NewReader(pipe), os.Stderr, os.Stderr
	if err := tree.Start(); err != nil {
		return err
	}
	return errors.Join(unpack.Run(), tree.Wait())
}

// compile builds brokerd of the module in source.
func compile(ctx context.Context, source, program, version string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-ldflags", "-X "+release+"="+version, "-o", program, "./cmd/brokerd")
	cmd.Dir = source
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("cannot build brokerd %s: %w\n%s", version, err, out)
	}
	return nil
}
