package disk

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Kind says what an Event is.
type Kind int

// The kinds.
const (
	Mkdir  Kind = iota // a folder was made
	Open               // a file was opened that is made if it is missing, and emptied if Truncate is set
	Write              // Data at Off
	Size               // the file got Off bytes
	Sync               // of a file or a folder
	Rename             // Path became To
	Remove             // of a file or an empty folder
	Mark               // Data is a line of the process's own
	numKinds
)

var kindNames = [numKinds]string{"mkdir", "open to write", "write", "set size", "sync", "rename", "remove", "promise"}

func (k Kind) String() string { return kindNames[k] }

// Event is one thing that happened to the disk, or was promised.
type Event struct {
	Kind     Kind
	Path, To string // below the root that was given to Parse
	Off      int64
	Data     []byte
	Truncate bool
	// Begin and End are the lines of the trace where the call was entered and where it returned. A change may reach the disk from its
	// begin on. A sync counts from its end on, and holds for what had ended when it began.
	Begin, End int
}

// at is the moment from which an event counts.
func (e *Event) at() int {
	if e.Kind == Sync {
		return e.End
	}
	return e.Begin
}

// Calls are the system calls to be traced: those that change a disk, also such as no store uses that Parse understands. A question mark
// allows for a machine that does not have the call.
const Calls = "openat,write,pwrite64,fsync,fdatasync,ftruncate,renameat,renameat2,unlinkat,mkdirat," +
	"?open,?creat,?writev,?pwritev,?pwritev2,?sync_file_range,?sync,?syncfs,?truncate,?fallocate,?rename,?unlink,?rmdir,?mkdir,?link,?linkat," +
	"?symlink,?symlinkat,?copy_file_range,?sendfile,?io_uring_setup"

// call is a system call that is over.
type call struct {
	name       string
	args       []string
	ret        string
	begin, end int
}

// Parse reads what `strace -f -y -xx -s <large> -e trace=<Calls>` wrote. Of the files below root each change becomes an Event; lines written to
// the file named marks become Marks. Events come in the order in which they count. A call that Parse does not know below root is an error:
// to leave it out would be to replay another disk.
func Parse(r io.Reader, root, marks string) ([]Event, error) {
	p := &parser{root: root, marks: marks, open: map[string]*call{}}
	in := bufio.NewReaderSize(r, 1<<20)
	for {
		line, err := in.ReadString('\n')
		if line != "" {
			p.line++
			if err := p.take(strings.TrimSuffix(line, "\n")); err != nil {
				return nil, fmt.Errorf("line %d of the trace: %w", p.line, err)
			}
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
	}
	slices.SortStableFunc(p.events, func(a, b Event) int { return a.at() - b.at() })
	return p.events, nil
}

type parser struct {
	root, marks string
	line        int
	open        map[string]*call // by thread: entered, not returned yet
	events      []Event
}

func (p *parser) take(line string) error {
	thread, rest, ok := strings.Cut(line, " ")
	if !ok {
		return nil
	}
	rest = strings.TrimLeft(rest, " ")
	if strings.HasPrefix(rest, "+++") || strings.HasPrefix(rest, "---") {
		return nil // an exit or a signal
	}
	c := &call{begin: p.line}
	if resumed, ok := strings.CutPrefix(rest, "<... "); ok {
		c = p.open[thread]
		if c == nil {
			return fmt.Errorf("thread %s goes on with a call that it never began", thread)
		}
		delete(p.open, thread)
		_, after, ok := strings.Cut(resumed, " resumed>")
		if !ok {
			return fmt.Errorf("%.80q is not understood", rest)
		}
		rest = c.ret + after
	}
	if before, ok := strings.CutSuffix(rest, " <unfinished ...>"); ok {
		c.ret = before // kept here until the rest comes
		p.open[thread] = c
		return nil
	}
	c.end = p.line
	if err := c.parse(rest); err != nil {
		return err
	}
	if c.ret == "?" || strings.HasPrefix(c.ret, "-") {
		return nil // it failed, or the process ended in it
	}
	return p.event(c)
}

// parse takes "name(args) = ret" apart. All strings are in hexadecimal, so that no text can be taken for punctuation.
func (c *call) parse(s string) error {
	name, rest, ok := strings.Cut(s, "(")
	args, ret, ok2 := cutLast(rest, " = ")
	args = strings.TrimRight(args, " ")
	if !ok || !ok2 || !strings.HasSuffix(args, ")") {
		return fmt.Errorf("%.120q is not understood", s)
	}
	c.name, c.ret = name, ret
	c.args = strings.Split(strings.TrimSuffix(args, ")"), ", ")
	return nil
}

func cutLast(s, sep string) (before, after string, ok bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// descriptor is the path of an argument such as 7</data/meta.db>.
func descriptor(arg string) (string, error) {
	_, rest, ok := strings.Cut(arg, "<")
	raw, deleted, ok2 := strings.Cut(rest, ">")
	if !ok || !ok2 {
		return "", fmt.Errorf("descriptor %.60q has no path", arg)
	}
	path, err := unhex(raw)
	if err != nil {
		return "", err
	}
	if strings.Contains(deleted, "(deleted)") {
		return strings.TrimSuffix(string(path), " (deleted)") + deletedSuffix, nil
	}
	return strings.Replace(string(path), " (deleted)", deletedSuffix, 1), nil
}

// deletedSuffix marks the path of a file that has no name any more but is still open.
const deletedSuffix = "\x00deleted"

// quoted is a string argument, whole: strace ends one that it cut off with dots.
func quoted(arg string) ([]byte, error) {
	if len(arg) < 2 || arg[0] != '"' || arg[len(arg)-1] != '"' {
		return nil, fmt.Errorf("string %.60q is cut off or not one", arg)
	}
	return unhex(arg[1 : len(arg)-1])
}

func unhex(s string) ([]byte, error) {
	if len(s)%4 != 0 {
		return nil, fmt.Errorf("%.60q is not in hexadecimal", s)
	}
	out := make([]byte, len(s)/4)
	for i := range out {
		hi, lo := digit(s[4*i+2]), digit(s[4*i+3])
		if s[4*i] != '\\' || s[4*i+1] != 'x' || hi > 15 || lo > 15 {
			return nil, fmt.Errorf("%.60q is not in hexadecimal", s)
		}
		out[i] = hi<<4 | lo
	}
	return out, nil
}

func digit(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	}
	return 255
}

// relative is a path below the root; false for one that is elsewhere.
func (p *parser) relative(path string) (string, bool) {
	if path == p.root {
		return ".", true
	}
	return strings.CutPrefix(path, p.root+"/")
}

// pathArg is the path that an argument names, taken from a folder's descriptor if it is not absolute.
func pathArg(folder, name string) (string, error) {
	raw, err := quoted(name)
	if err != nil {
		return "", err
	}
	path := string(raw)
	if !filepath.IsAbs(path) {
		dir, err := descriptor(folder)
		if err != nil {
			return "", err
		}
		path = filepath.Join(dir, path)
	}
	return filepath.Clean(path), nil
}

func (p *parser) event(c *call) error {
	e := Event{Begin: c.begin, End: c.end}
	var path string
	var err error
	switch c.name {
	case "openat":
		if !strings.Contains(c.args[2], "O_CREAT") && !strings.Contains(c.args[2], "O_TRUNC") {
			return nil
		}
		e.Kind, e.Truncate = Open, strings.Contains(c.args[2], "O_TRUNC")
		path, err = pathArg(c.args[0], c.args[1])
	case "write", "pwrite64":
		if path, err = descriptor(c.args[0]); err == nil {
			return p.write(c, path, e)
		}
	case "fsync", "fdatasync":
		e.Kind = Sync
		path, err = descriptor(c.args[0])
	case "ftruncate":
		e.Kind = Size
		if path, err = descriptor(c.args[0]); err == nil {
			e.Off, err = strconv.ParseInt(c.args[1], 10, 64)
		}
	case "fallocate":
		path, err := descriptor(c.args[0])
		if err != nil || c.args[1] == "FALLOC_FL_KEEP_SIZE" { // blocks for later: neither content nor size
			return err
		}
		return p.unknown(c, path)
	case "renameat", "renameat2":
		e.Kind = Rename
		var to string
		if to, err = pathArg(c.args[2], c.args[3]); err == nil {
			var inside bool
			path, err = pathArg(c.args[0], c.args[1])
			if e.To, inside = p.relative(to); !inside {
				return p.unknown(c, path)
			}
		}
	case "unlinkat":
		e.Kind = Remove
		path, err = pathArg(c.args[0], c.args[1])
	case "mkdirat":
		e.Kind = Mkdir
		path, err = pathArg(c.args[0], c.args[1])
	default:
		return p.unknown(c, strings.Join(c.args, " "))
	}
	if err != nil {
		if p.mentionsRoot(c) {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		return nil // a pipe, a terminal
	}
	var inside bool
	if e.Path, inside = p.relative(path); inside {
		p.events = append(p.events, e)
	}
	return nil
}

func (p *parser) write(c *call, path string, e Event) error {
	e.Kind = Write
	if path == p.marks {
		e.Kind = Mark
	} else if _, inside := p.relative(path); !inside {
		return nil
	} else if c.name == "write" {
		return p.unknown(c, path) // its place in the file is not in the trace
	}
	var err error
	if e.Data, err = quoted(c.args[1]); err != nil {
		return fmt.Errorf("%s to %s: %w", c.name, path, err)
	}
	if c.ret != strconv.Itoa(len(e.Data)) {
		return fmt.Errorf("%s to %s: %s of %d bytes were written", c.name, path, c.ret, len(e.Data))
	}
	if e.Kind == Write {
		if e.Off, err = strconv.ParseInt(c.args[3], 10, 64); err != nil {
			return err
		}
		e.Path, _ = p.relative(path)
	}
	p.events = append(p.events, e)
	return nil
}

// mentionsRoot tells whether a call may be about the files that are replayed.
func (p *parser) mentionsRoot(c *call) bool {
	var hex strings.Builder
	for _, b := range []byte(p.root) {
		fmt.Fprintf(&hex, "\\x%02x", b)
	}
	return strings.Contains(strings.Join(c.args, " "), hex.String())
}

func (p *parser) unknown(c *call, path string) error {
	if _, inside := p.relative(path); inside || p.mentionsRoot(c) || c.name == "io_uring_setup" || c.name == "sync" {
		return fmt.Errorf("the call %s is not modelled; add it to package disk", c.name)
	}
	return nil
}
