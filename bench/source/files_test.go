package source

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// sample has what is awkward: an empty file, no final newline, a line longer than a piece.
func sample(t *testing.T) (root string, files []*File, values [][]byte) {
	t.Helper()
	root = t.TempDir()
	for name, text := range map[string]string{
		"a/empty": "", "b": "one\ntwo", "c": strings.Repeat("x", 3*maxPiece+7) + "\nlast\n", "d": "\n\n\n",
	} {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	files, err := List(root)
	if err != nil || len(files) != 4 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for i, s := range files {
		if err := Records(root, uint32(i), s, func(_, v []byte) { values = append(values, v) }); err != nil {
			t.Fatal(err)
		}
	}
	return root, files, values
}

func TestFilesComeBackByteForByte(t *testing.T) {
	_, files, values := sample(t)
	c := &Collector{}
	for _, v := range values {
		if err := c.Add(nil, v); err != nil {
			t.Fatal(err)
		}
	}
	identical, wrong := c.Compare(files, len(files))
	if identical != len(files) || c.Lost != 0 || c.Duplicated != 0 {
		t.Fatalf("identical %d of %d (%s), lost %d, duplicated %d", identical, len(files), wrong, c.Lost, c.Duplicated)
	}
}

func TestEveryLossAndRepeatIsSeen(t *testing.T) {
	_, files, values := sample(t)
	for drop := range values {
		c := &Collector{}
		for i, v := range values {
			if i == drop {
				continue
			}
			if err := c.Add(nil, v); err != nil {
				t.Fatal(err)
			}
		}
		if identical, _ := c.Compare(files, len(files)); identical != len(files)-1 || c.Lost != 1 {
			t.Fatalf("without value %d: identical %d, lost %d", drop, identical, c.Lost)
		}
		c = &Collector{}
		for i, v := range values {
			for range 1 + map[bool]int{true: 1}[i == drop] {
				if err := c.Add(nil, v); err != nil {
					t.Fatal(err)
				}
			}
		}
		if _, _ = c.Compare(files, len(files)); c.Duplicated != 1 {
			t.Fatalf("value %d twice: duplicated %d", drop, c.Duplicated)
		}
	}
}

func TestAChangedByteIsSeen(t *testing.T) {
	_, files, values := sample(t)
	c := &Collector{}
	for i, v := range values {
		if i == len(values)-1 {
			v = bytes.Clone(v)
			v[len(v)-1] ^= 1
		}
		if err := c.Add(nil, v); err != nil {
			t.Fatal(err)
		}
	}
	if identical, wrong := c.Compare(files, len(files)); identical != len(files)-1 || wrong != "d" {
		t.Fatalf("identical %d, wrong %q", identical, wrong)
	}
}

func TestAFileSentTwiceComesBackTwice(t *testing.T) {
	root, files, values := sample(t)
	for i, s := range files {
		if err := Records(root, uint32(len(files)+i), s, func(_, v []byte) { values = append(values, v) }); err != nil {
			t.Fatal(err)
		}
	}
	c := &Collector{}
	for _, v := range values {
		if err := c.Add(nil, v); err != nil {
			t.Fatal(err)
		}
	}
	if identical, wrong := c.Compare(files, 2*len(files)); identical != 2*len(files) || c.Lost != 0 || c.Duplicated != 0 {
		t.Fatalf("identical %d (%s), lost %d, duplicated %d", identical, wrong, c.Lost, c.Duplicated)
	}
}
