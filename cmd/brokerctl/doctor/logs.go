package doctor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
)

// journalLines bounds what is asked of the journal.
const journalLines = 50_000

// logs keeps the end of each file named, or of the journal's unit if none is and there is a journal.
func (g *gatherer) logs(ctx context.Context) {
	for i, name := range g.o.Logs {
		// Two brokers' logs may have one name in different folders.
		file := fmt.Sprintf("logs/%d-%s", i+1, fileName(filepath.Base(name)))
		text, more, err := tail(name, maxLog)
		if err != nil {
			g.b.lack(file, name, err)
			continue
		}
		g.b.add(file, name, text, asLog, maxLog, more)
	}
	if len(g.o.Logs) > 0 || g.o.Unit == "" {
		return
	}
	from := "journalctl --unit " + g.o.Unit
	program, err := exec.LookPath("journalctl")
	if err != nil {
		g.b.lack("logs/journal.txt", from, errors.New("this machine has no journal: name log files by --log"))
		return
	}
	ctx, cancel := context.WithTimeout(ctx, g.o.Patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, "--unit", g.o.Unit, "--lines", strconv.Itoa(journalLines), "--no-pager", "--output", "short-iso", "--utc", "--quiet")
	out, err := cmd.Output()
	if err != nil || len(out) == 0 {
		if err == nil {
			err = errors.New("the journal has nothing of this unit: --unit names another one, --log names files")
		}
		g.b.lack("logs/journal.txt", from, err)
		return
	}
	g.b.add("logs/journal.txt", from, out, asLog, maxLog, false)
}

// tail reads the last bytes of a file.
func tail(name string, most int64) (text []byte, more bool, err error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, false, err
	}
	defer func() { _ = f.Close() }() // it was only read
	info, err := f.Stat()
	if err != nil {
		return nil, false, err
	}
	if !info.Mode().IsRegular() {
		return nil, false, errors.New("it is no file")
	}
	if from := info.Size() - most; from > 0 {
		more = true
		if _, err := f.Seek(from, io.SeekStart); err != nil {
			return nil, false, err
		}
	}
	text, err = io.ReadAll(io.LimitReader(f, most))
	return text, more, err
}
