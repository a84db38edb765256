package sim

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/runnel-io/runnel/partition/raftlog"
)

// platter is a folder that is changed as raftlog changes it, and beside it what must be there after a power cut.
type platter struct {
	t    rapid.TB
	d    *disk
	dir  string
	root *inode
}

// inode is a file or folder: as it is, and as of its last sync.
type inode struct {
	folder       bool
	text, synced string
	names, last  map[string]*inode
}

func newFolder() *inode {
	return &inode{folder: true, names: map[string]*inode{}, last: map[string]*inode{}}
}

func newPlatter(t rapid.TB, dir string) *platter {
	t.Helper()
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return &platter{t: t, dir: dir, root: newFolder(), d: newDisk(nil, dir)}
}

// cut cuts the power and looks at what is left.
func (p *platter) cut() (files, names int) {
	want := map[string]string{}
	p.root.left("", want)
	files, names, err := p.d.lost.lose()
	if err != nil {
		p.t.Fatal(err)
	}
	if got := there(p.t, p.dir); !maps.Equal(got, want) {
		p.t.Fatalf("after a power cut:\n got %v\nwant %v", got, want)
	}
	return files, names
}

// do changes the folder as raftlog's disk does, behind the hooks.
func (p *platter) do(kind, path, to string) {
	hooks := p.d.hooks(&boot{m: &machine{}})
	abs := filepath.Join(p.dir, path)
	hook := func(err error) {
		if err != nil {
			p.t.Fatalf("%s %s %s: %v", kind, path, to, err)
		}
	}
	folder, name := p.root.find(filepath.Dir(path)), filepath.Base(path)
	var err error
	switch kind {
	case "create":
		hook(hooks.File(raftlog.FileOp{Kind: kind, Path: abs}))
		err = os.WriteFile(abs, nil, 0o600)
		if folder.names[name] == nil {
			folder.names[name] = &inode{}
		}
		folder.names[name].text = ""
	case "append", "overwrite":
		x := folder.names[name]
		off := 0
		if kind == "append" {
			off = len(x.text)
		}
		hook(hooks.File(raftlog.FileOp{Kind: "write", Path: abs, Off: int64(off), Data: []byte(to)}))
		x.text = x.text[:off] + to + x.text[min(len(x.text), off+len(to)):]
		err = os.WriteFile(abs, []byte(x.text), 0o600)
	case "sync":
		hook(hooks.File(raftlog.FileOp{Kind: kind, Path: abs}))
		x := folder.names[name]
		x.synced = x.text
	case "mkdir":
		hook(hooks.FS(raftlog.FSOp{Kind: kind, Path: abs}))
		err = os.Mkdir(abs, 0o700)
		folder.names[name] = newFolder()
	case "rename":
		hook(hooks.FS(raftlog.FSOp{Kind: kind, Path: abs, To: filepath.Join(p.dir, to)}))
		err = os.Rename(abs, filepath.Join(p.dir, to))
		folder.names[filepath.Base(to)] = folder.names[name]
		delete(folder.names, name)
	case "removeall":
		hook(hooks.FS(raftlog.FSOp{Kind: kind, Path: abs}))
		err = os.RemoveAll(abs)
		delete(folder.names, name)
	case "syncdir":
		hook(hooks.FS(raftlog.FSOp{Kind: kind, Path: abs}))
		x := p.root.find(path)
		x.last = maps.Clone(x.names)
	}
	if err != nil {
		p.t.Fatalf("%s %s %s: %v", kind, path, to, err)
	}
}

func (x *inode) find(path string) *inode {
	if path == "." {
		return x
	}
	for _, n := range strings.Split(path, "/") {
		x = x.names[n]
	}
	return x
}

// paths lists what is there now: files, or folders.
func (x *inode) paths(at string, folders bool) (out []string) {
	for _, n := range slices.Sorted(maps.Keys(x.names)) {
		c := x.names[n]
		if c.folder == folders {
			out = append(out, filepath.Join(at, n))
		}
		out = append(out, c.paths(filepath.Join(at, n), folders)...)
	}
	return out
}

// left is what a power cut leaves.
func (x *inode) left(at string, out map[string]string) {
	for n, c := range x.last {
		path := filepath.Join(at, n)
		if c.folder {
			out[path] = "folder"
			c.left(path, out)
		} else {
			out[path] = "file " + c.synced
		}
	}
}

// there is what is in a folder.
func there(t rapid.TB, dir string) map[string]string {
	out := map[string]string{}
	err := fs.WalkDir(os.DirFS(dir), ".", func(path string, e fs.DirEntry, err error) error {
		if err != nil || path == "." {
			return err
		}
		if out[path] = "folder"; !e.IsDir() {
			b, err := os.ReadFile(filepath.Join(dir, path))
			out[path] = "file " + string(b)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestAPowerCutLeavesWhatWasSynced changes a folder at random and cuts the power again and again: each file must be as of its last sync,
// each folder have the names of its own.
func TestAPowerCutLeavesWhatWasSynced(t *testing.T) {
	base := folder(t)
	runs := 0
	files, names := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		runs++
		p := newPlatter(t, filepath.Join(base, fmt.Sprint(runs)))
		for range rapid.IntRange(1, 4).Draw(t, "cuts") {
			for range rapid.IntRange(0, 40).Draw(t, "changes") {
				p.change(t)
			}
			f, n := p.cut()
			files, names = files+f, names+n
			p.root.fallBack()
		}
	})
	if files == 0 || names == 0 {
		t.Errorf("%d files and %d names were taken back: nothing was shown", files, names)
	}
}

// TestAPowerCutFindsWhatWasMovedForGood names a folder anew, for good, after something was made in it that is not; and then one that another
// folder had been before.
func TestAPowerCutFindsWhatWasMovedForGood(t *testing.T) {
	for _, script := range []string{
		"mkdir d1 | syncdir . | create d1/f1 | rename d1 d2 | syncdir .",
		"mkdir d2 | syncdir . | create d2/f1 | removeall d2 | mkdir d1 | rename d1 d2 | create d2/f1 | rename d2/f1 d2/f2 | syncdir d2",
	} {
		p := newPlatter(t, filepath.Join(folder(t), "m"))
		for _, line := range strings.Split(script, " | ") {
			w := append(strings.Fields(line), "")
			p.do(w[0], w[1], w[2])
		}
		p.cut()
	}
}

func (x *inode) fallBack() {
	x.text, x.names = x.synced, maps.Clone(x.last)
	for _, c := range x.names {
		c.fallBack()
	}
}

// change draws one change.
func (p *platter) change(t *rapid.T) {
	files, folders := p.root.paths("", false), p.root.paths("", true)
	dirs := append([]string{"."}, folders...)
	one := func(from []string) string { return rapid.SampledFrom(from).Draw(t, "path") }
	name := func(kind string) string {
		return filepath.Join(one(dirs), kind+rapid.SampledFrom([]string{"1", "2", "3"}).Draw(t, "name"))
	}
	switch kind := rapid.SampledFrom([]string{"create", "append", "append", "overwrite", "sync", "mkdir", "rename", "rename folder", "remove", "removeall", "syncdir", "syncdir"}).Draw(t, "kind"); kind {
	case "create":
		p.do(kind, name("f"), "")
	case "mkdir":
		if path := name("d"); !slices.Contains(folders, path) && strings.Count(path, "/") < 3 {
			p.do(kind, path, "")
		}
	case "syncdir":
		p.do(kind, one(dirs), "")
	case "rename folder", "removeall":
		if len(folders) == 0 {
			return
		}
		path := one(folders)
		to := filepath.Join(filepath.Dir(path), "d"+rapid.SampledFrom([]string{"1", "2", "3"}).Draw(t, "name"))
		switch {
		case kind == "removeall":
			p.do(kind, path, "")
		case !slices.Contains(folders, to):
			p.do("rename", path, to)
		}
	default:
		if len(files) == 0 {
			return
		}
		path := one(files)
		to := filepath.Join(filepath.Dir(path), "f"+rapid.SampledFrom([]string{"1", "2", "3"}).Draw(t, "name"))
		switch {
		case kind == "remove":
			p.do("removeall", path, "")
		case kind == "rename" && to != path:
			p.do(kind, path, to)
		case kind != "rename":
			p.do(kind, path, rapid.StringMatching("[a-z]{1,4}").Draw(t, "text"))
		}
	}
}
