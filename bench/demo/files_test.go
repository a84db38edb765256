package main

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// sample has what is awkward: an empty file, no final newline, a line longer than a piece.
func sample(t *testing.T) (root string, files []*source, values [][]byte) {
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
	files, err := listFiles(root)
	if err != nil || len(files) != 4 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for i, s := range files {
		var body [][]byte
		if err := readPieces(root, s, func(b []byte) error { body = append(body, bytes.Clone(b)); return nil }); err != nil {
			t.Fatal(err)
		}
		head := encodeHeader(nil, kindFile, uint32(i), 0)
		head = binary.BigEndian.AppendUint64(head, uint64(s.size))
		values = append(values, binary.BigEndian.AppendUint64(head, uint64(s.pieces)))
		for j, b := range body {
			values = append(values, append(encodeHeader(nil, kindLine, uint32(i), uint32(j+1)), b...))
		}
	}
	return root, files, values
}

func TestFilesComeBackByteForByte(t *testing.T) {
	_, files, values := sample(t)
	c := newCollector(len(files))
	for _, v := range values {
		if err := c.add(nil, v); err != nil {
			t.Fatal(err)
		}
	}
	identical, wrong := c.compare(files)
	if identical != len(files) || c.lost != 0 || c.duplicated != 0 {
		t.Fatalf("identical %d of %d (%s), lost %d, duplicated %d", identical, len(files), wrong, c.lost, c.duplicated)
	}
}

func TestEveryLossAndRepeatIsSeen(t *testing.T) {
	_, files, values := sample(t)
	for drop := range values {
		c := newCollector(len(files))
		for i, v := range values {
			if i == drop {
				continue
			}
			if err := c.add(nil, v); err != nil {
				t.Fatal(err)
			}
		}
		if identical, _ := c.compare(files); identical != len(files)-1 || c.lost != 1 {
			t.Fatalf("without value %d: identical %d, lost %d", drop, identical, c.lost)
		}
		c = newCollector(len(files))
		for i, v := range values {
			for range 1 + map[bool]int{true: 1}[i == drop] {
				if err := c.add(nil, v); err != nil {
					t.Fatal(err)
				}
			}
		}
		if _, _ = c.compare(files); c.duplicated != 1 {
			t.Fatalf("value %d twice: duplicated %d", drop, c.duplicated)
		}
	}
}

func TestAChangedByteIsSeen(t *testing.T) {
	_, files, values := sample(t)
	c := newCollector(len(files))
	for i, v := range values {
		if i == len(values)-1 {
			v = bytes.Clone(v)
			v[len(v)-1] ^= 1
		}
		if err := c.add(nil, v); err != nil {
			t.Fatal(err)
		}
	}
	if identical, wrong := c.compare(files); identical != len(files)-1 || wrong != "d" {
		t.Fatalf("identical %d, wrong %q", identical, wrong)
	}
}
