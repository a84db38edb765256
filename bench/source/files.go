package source

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
)

// maxPiece bounds a record: the standard library has a line of 1.3 MB.
const maxPiece = 256 << 10

const (
	kindFile = 'F'
	kindLine = 'L'
)

// File is one file of the input. All but its path is known once it was read.
type File struct {
	Path   string // relative to the root, with slashes
	size   int64
	pieces uint32
	sum    [sha256.Size]byte
}

// Root is the folder to send: dir, or the Go standard library's source if dir is "".
func Root(ctx context.Context, dir string) (string, error) {
	if dir != "" {
		return dir, nil
	}
	goroot, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return "", fmt.Errorf("cannot find the standard library's source: %w", err)
	}
	return filepath.Join(strings.TrimSpace(string(goroot)), "src"), nil
}

// List finds every regular file under root, in order.
func List(root string) ([]*File, error) {
	var out []*File
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		out = append(out, &File{Path: filepath.ToSlash(rel)})
		return nil
	})
	sort.Slice(out, func(i, j int) bool { return out[i].Path < out[j].Path })
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
func readPieces(root string, s *File, piece func([]byte) error) error {
	f, err := os.Open(filepath.Join(root, filepath.FromSlash(s.Path)))
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

// Records gives a file's records in order: its header, then its pieces. number tells files of a run apart; a file that is sent twice has
// two.
func Records(root string, number uint32, s *File, record func(key, value []byte)) error {
	var values [][]byte
	err := readPieces(root, s, func(piece []byte) error {
		v := make([]byte, 0, headerLen+len(piece))
		v = encodeHeader(v, kindLine, number, uint32(len(values)+1))
		values = append(values, append(v, piece...))
		return nil
	})
	if err != nil {
		return err
	}
	key := []byte(s.Path)
	head := encodeHeader(nil, kindFile, number, 0)
	head = binary.BigEndian.AppendUint64(head, uint64(s.size))
	record(key, binary.BigEndian.AppendUint64(head, uint64(s.pieces)))
	for _, v := range values {
		record(key, v)
	}
	return nil
}
