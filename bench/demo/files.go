package main

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
)

// maxPiece bounds a record: the standard library has a line of 1.3 MB.
const maxPiece = 256 << 10

const (
	kindFile = 'F'
	kindLine = 'L'
)

// source is one file of the input.
type source struct {
	path   string // relative to the root
	size   int64
	pieces uint32
	sum    [sha256.Size]byte
}

// listFiles finds every regular file under root, in order.
func listFiles(root string) ([]*source, error) {
	var out []*source
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		out = append(out, &source{path: filepath.ToSlash(rel)})
		return nil
	})
	sort.Slice(out, func(i, j int) bool { return out[i].path < out[j].path })
	return out, err
}

// header of every value: kind, the file's number, the record's number within the file.
const headerLen = 1 + 4 + 4

func encodeHeader(dst []byte, kind byte, file, seq uint32) []byte {
	dst = append(dst, kind)
	dst = binary.BigEndian.AppendUint32(dst, file)
	return binary.BigEndian.AppendUint32(dst, seq)
}

// readPieces hashes a file and gives its pieces, in order: lines with their end, long ones split.
func readPieces(root string, s *source, piece func([]byte) error) error {
	f, err := os.Open(filepath.Join(root, filepath.FromSlash(s.path)))
	if err != nil {
		return err
	}
	defer f.Close()
	hash := sha256.New()
	r := bufio.NewReaderSize(f, maxPiece)
	s.size, s.pieces = 0, 0
	for {
		line, err := r.ReadSlice('\n')
		if len(line) > 0 {
			hash.Write(line)
			s.size += int64(len(line))
			s.pieces++
			if err := piece(line); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return err
		}
	}
	hash.Sum(s.sum[:0])
	return nil
}

// rebuilt is a file as it comes back.
type rebuilt struct {
	next  uint32 // number of the next record wanted
	size  int64
	want  struct{ size, pieces uint64 }
	known bool
	hash  interface {
		io.Writer
		Sum([]byte) []byte
	}
}

// collector puts files together from records in partition order.
type collector struct {
	files            []*rebuilt
	lost, duplicated int64
	records          int64
}

func newCollector(n int) *collector { return &collector{files: make([]*rebuilt, n)} }

// add takes one record's value.
func (c *collector) add(key, value []byte) error {
	if len(value) < headerLen {
		return fmt.Errorf("a record of %d bytes with key %q is none of the demo's", len(value), key)
	}
	kind, file, seq, body := value[0], binary.BigEndian.Uint32(value[1:]), binary.BigEndian.Uint32(value[5:]), value[headerLen:]
	if int(file) >= len(c.files) {
		return fmt.Errorf("a record names file %d of %d", file, len(c.files))
	}
	c.records++
	f := c.files[file]
	if f == nil {
		f = &rebuilt{hash: sha256.New()}
		c.files[file] = f
	}
	switch {
	case seq < f.next: // seen before
		c.duplicated++
		return nil
	case seq > f.next:
		c.lost += int64(seq - f.next)
	}
	f.next = seq + 1
	if kind == kindFile {
		if len(body) != 16 {
			return fmt.Errorf("the header of file %q is %d bytes", key, len(body))
		}
		f.want.size, f.want.pieces, f.known = binary.BigEndian.Uint64(body), binary.BigEndian.Uint64(body[8:]), true
		return nil
	}
	f.size += int64(len(body))
	_, err := f.hash.Write(body)
	return err
}

// compare counts the files that came back as they were and the records that never did.
func (c *collector) compare(files []*source) (identical int, firstWrong string) {
	for i, s := range files {
		f := c.files[i]
		want := s.pieces + 1
		if f == nil {
			c.lost += int64(want)
		} else if f.next < want {
			c.lost += int64(want - f.next)
		}
		if f != nil && f.known && f.next == want && f.size == s.size && f.want.size == uint64(s.size) &&
			f.want.pieces == uint64(s.pieces) && [sha256.Size]byte(f.hash.Sum(nil)) == s.sum {
			identical++
		} else if firstWrong == "" {
			firstWrong = s.path
		}
	}
	return identical, firstWrong
}
