package sim

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// unsynced is what a power cut takes back of a machine's disk: what files were given since their last sync, and what changed in folders
// since theirs. It costs nothing but what is remembered of a change before it is done: a size, mostly. Of what is removed nothing is copied: it is
// moved out of the way until its folder is synced.
type unsynced struct {
	grave    string // beside the machine's folder
	buried   int
	contents map[string]content // as of the last sync, of files written since. By the path that a file has now.
	changes  []change           // of names, in their order
}

// content is a file's as of its last sync.
type content struct {
	size  int64  // all that was written since is behind it, unless
	whole []byte // is there
}

// change is one of a name in a folder: something was made at to, or moved from from to to. The paths are those of its time.
type change struct {
	folder   string // by the path that it has now: its sync makes the change last
	from, to string
}

func newUnsynced(grave string) *unsynced {
	return &unsynced{grave: grave, contents: map[string]content{}}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// makes is told before a file or folder is made, in place of nothing.
func (u *unsynced) makes(path string) {
	u.changes = append(u.changes, change{folder: filepath.Dir(path), to: path})
}

// moves is told before something gets another name in its folder.
func (u *unsynced) moves(from, to string) error {
	if filepath.Dir(from) != filepath.Dir(to) {
		return fmt.Errorf("%s moves to another folder, %s: what a power cut makes of that is not modelled", from, to)
	}
	if !exists(from) {
		return nil // it will fail
	}
	if err := u.removes(to); err != nil {
		return err
	}
	u.moved(filepath.Dir(from), from, to)
	return nil
}

func (u *unsynced) moved(folder, from, to string) {
	u.changes = append(u.changes, change{folder: folder, from: from, to: to})
	for i := range u.changes {
		u.changes[i].folder = under(u.changes[i].folder, from, to)
	}
	for path, was := range u.contents {
		if now := under(path, from, to); now != path {
			delete(u.contents, path)
			u.contents[now] = was
		}
	}
}

// under is what becomes of a path when from gets the name to.
func under(path, from, to string) string {
	if rest, ok := strings.CutPrefix(path, from); ok && (rest == "" || rest[0] == filepath.Separator) {
		return to + rest
	}
	return path
}

// inside tells whether a path is a folder's, or of something in it.
func inside(path, folder string) bool { return under(path, folder, "") != path }

// removes is told before a file or folder is removed with all that is in it. There is nothing left to remove then.
func (u *unsynced) removes(path string) error {
	if !exists(path) {
		return nil
	}
	u.buried++
	to := filepath.Join(u.grave, fmt.Sprint(u.buried))
	err := os.Rename(path, to)
	if errors.Is(err, fs.ErrNotExist) { // the first that is buried here
		err = errors.Join(os.Mkdir(u.grave, 0o750), os.Rename(path, to))
	}
	if err != nil {
		return err
	}
	u.moved(filepath.Dir(path), path, to)
	return nil
}

// writes is told before a file is written from an offset on, or cut to nothing with offset 0.
func (u *unsynced) writes(path string, offset int64) error {
	was, known := u.contents[path]
	if !known {
		st, err := os.Stat(path)
		if err == nil {
			was.size = st.Size()
		} else if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if was.whole == nil && offset < was.size {
		b, err := os.ReadFile(filepath.Clean(path))
		if err != nil {
			return err
		}
		was.whole = b[:was.size]
	}
	u.contents[path] = was
	return nil
}

// syncs is told of a file that was synced.
func (u *unsynced) syncs(path string) { delete(u.contents, path) }

// syncsFolder is told of a folder that was synced: its names last.
func (u *unsynced) syncsFolder(folder string) error {
	var gone []string
	kept := u.changes[:0]
	for _, x := range u.changes {
		switch {
		case x.folder != folder:
			kept = append(kept, x)
		case x.from == "":
		default:
			lasts(kept, x.from, x.to)
			if u.isBuried(x.to) {
				gone = append(gone, x.to)
			}
		}
	}
	u.changes = kept
	return u.forget(gone)
}

// lasts has changes that were made before a move, and are not synced, name what was moved by its new place: it is there for good. It goes
// back in time as far as the thing had been there; what had its name before is another one.
func lasts(before []change, from, to string) {
	for i := len(before) - 1; i >= 0; i-- {
		x := &before[i]
		was := *x
		x.to = under(x.to, from, to)
		switch {
		case was.from == "" && inside(from, was.to), was.from != "" && inside(from, was.from):
			return
		case was.from != "":
			from, to = under(from, was.to, was.from), under(to, was.to, was.from)
			x.from = under(x.from, from, to)
		}
	}
}

func (u *unsynced) isBuried(path string) bool { return filepath.Dir(path) == u.grave }

// forget removes what is gone for good, and what was removed from in there before.
func (u *unsynced) forget(gone []string) error {
	var errs []error
	for i := 0; i < len(gone); i++ {
		maps.DeleteFunc(u.contents, func(p string, _ content) bool { return inside(p, gone[i]) })
		u.changes = slices.DeleteFunc(u.changes, func(x change) bool {
			if inside(x.folder, gone[i]) && u.isBuried(x.to) {
				gone = append(gone, x.to)
			}
			return inside(x.folder, gone[i])
		})
		errs = append(errs, os.RemoveAll(gone[i]))
	}
	return errors.Join(errs...)
}

// lose takes everything back, and tells of how many files the contents and how many names changed by that. The files must be closed.
func (u *unsynced) lose() (files, names int, err error) {
	var errs []error
	for path, was := range u.contents {
		lost, err := was.restore(path)
		errs = append(errs, err)
		if lost {
			files++
		}
	}
	for _, x := range slices.Backward(u.changes) {
		names++
		if x.from == "" {
			errs = append(errs, os.RemoveAll(x.to))
		} else {
			errs = append(errs, os.Rename(x.to, x.from))
		}
	}
	return files, names, errors.Join(append(errs, u.clear())...)
}

// restore gives a file back what it held, and tells whether that was anything else.
func (c content) restore(path string) (lost bool, err error) {
	st, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist): // it was never made
		return false, nil
	case err != nil:
		return false, err
	case c.whole == nil:
		return st.Size() != c.size, os.Truncate(path, c.size)
	}
	now, err := os.ReadFile(filepath.Clean(path))
	if err != nil || bytes.Equal(now, c.whole) {
		return false, err
	}
	return true, os.WriteFile(path, c.whole, 0o600)
}

// clear forgets everything, and what was removed is gone.
func (u *unsynced) clear() error {
	clear(u.contents)
	u.changes = u.changes[:0]
	return os.RemoveAll(u.grave)
}
