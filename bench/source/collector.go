package source

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
)

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

// most bounds the files of a run: a damaged number must not become a table of billions.
const most = 1 << 26

// Collector puts files together from records in partition order.
type Collector struct {
	Records          int64
	Lost, Duplicated int64

	files []*rebuilt // by number
}

// Add takes one record.
func (c *Collector) Add(key, value []byte) error {
	if len(value) < headerLen || value[0] != kindFile && value[0] != kindLine {
		return fmt.Errorf("a record of %d bytes with key %q is none of this run's", len(value), key)
	}
	kind, file, seq, body := value[0], binary.BigEndian.Uint32(value[1:]), binary.BigEndian.Uint32(value[5:]), value[headerLen:]
	if file >= most {
		return fmt.Errorf("a record with key %q names file %d", key, file)
	}
	for int(file) >= len(c.files) {
		c.files = append(c.files, nil)
	}
	c.Records++
	f := c.files[file]
	if f == nil {
		f = &rebuilt{hash: sha256.New()}
		c.files[file] = f
	}
	switch {
	case seq < f.next: // seen before
		c.Duplicated++
		return nil
	case seq > f.next:
		c.Lost += int64(seq - f.next)
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

// Compare counts, of the first sent numbers, the files that came back as they were, and adds the records that never did to Lost. Number n
// was file n%len(files).
func (c *Collector) Compare(files []*File, sent int) (identical int, firstWrong string) {
	for i := range sent {
		s := files[i%len(files)]
		var f *rebuilt
		if i < len(c.files) {
			f = c.files[i]
		}
		want := s.pieces + 1
		if f == nil {
			c.Lost += int64(want)
		} else if f.next < want {
			c.Lost += int64(want - f.next)
		}
		if f != nil && f.known && f.next == want && f.size == s.size && f.want.size == uint64(s.size) &&
			f.want.pieces == uint64(s.pieces) && [sha256.Size]byte(f.hash.Sum(nil)) == s.sum {
			identical++
		} else if firstWrong == "" {
			firstWrong = s.Path
		}
	}
	return identical, firstWrong
}
