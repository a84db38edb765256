package doctor

import (
	"archive/tar"
	"cmp"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"path"
	"slices"
	"sync"
	"time"
)

// Entry is one line of the manifest: something that was asked for, and what became of it.
type Entry struct {
	// Name of the file in the bundle; there is no file if Error is set.
	Name string `json:"name"`
	// From is whom it was asked: a URL, a call, a file of this machine.
	From string `json:"from"`
	// Bytes and SHA256 are of the file as it is in the bundle.
	Bytes  int    `json:"bytes"`
	SHA256 string `json:"sha256,omitempty"`
	// Cut: there was more than the bound allows.
	Cut bool `json:"cut,omitempty"`
	// Secrets counts what was cut out of it.
	Secrets int `json:"secrets,omitempty"`
	// Error says why it is not there.
	Error string `json:"error,omitempty"`
}

// Manifest is manifest.json of the bundle.
type Manifest struct {
	Made    time.Time `json:"made"`
	By      string    `json:"by"` // the version of brokerctl
	Asked   []string  `json:"asked"`
	Entries []Entry   `json:"entries"`
}

// bundle collects entries under one budget of bytes. Any goroutine may add.
type bundle struct {
	scrub *scrubber
	mu    sync.Mutex
	left  int // bytes that may still be kept
	files []file
	rest  []Entry // what is not there
}

type file struct {
	Entry
	data []byte
}

// kind tells how an entry is treated.
type kind int

const (
	asText   kind = iota // scrubbed; cut at its end
	asLog                // scrubbed; of one that is too long the end is kept
	asBinary             // a profile: names of functions and counts
)

// add keeps what was answered, at most so many bytes of it. More tells that the source had more than it gave.
func (b *bundle) add(name, from string, data []byte, k kind, most int, more bool) {
	e := Entry{Name: name, From: from, Cut: more}
	if k != asBinary {
		data, e.Secrets = b.scrub.clean(data)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	most = min(most, b.left)
	if len(data) > most {
		e.Cut = true
		if k == asLog {
			data = data[len(data)-most:]
		} else {
			data = data[:most]
		}
	}
	if len(data) == 0 && e.Cut {
		e.Error = "the bundle is full"
		b.rest = append(b.rest, e)
		return
	}
	b.left -= len(data)
	sum := sha256.Sum256(data)
	e.Bytes, e.SHA256 = len(data), hex.EncodeToString(sum[:])
	b.files = append(b.files, file{e, data})
}

// lack records that something is not there.
func (b *bundle) lack(name, from string, err error) {
	text, _ := b.scrub.clean([]byte(oneLine(err)))
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rest = append(b.rest, Entry{Name: name, From: from, Error: string(text)})
}

// write makes the archive: findings and manifest first, for whoever opens it, then the rest by name.
func (b *bundle) write(w io.Writer, m Manifest, findings string) (Manifest, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	byName := func(x, y Entry) int { return cmp.Compare(x.Name, y.Name) }
	slices.SortFunc(b.files, func(x, y file) int { return byName(x.Entry, y.Entry) })
	for _, f := range b.files {
		m.Entries = append(m.Entries, f.Entry)
	}
	m.Entries = append(m.Entries, b.rest...)
	slices.SortStableFunc(m.Entries, byName)
	manifest, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return m, err
	}
	z := gzip.NewWriter(w)
	t := tar.NewWriter(z)
	put := func(name string, data []byte) error {
		h := &tar.Header{Name: path.Join(root(m.Made), name), Mode: 0o600, Size: int64(len(data)), ModTime: m.Made, Format: tar.FormatPAX}
		if err := t.WriteHeader(h); err != nil {
			return err
		}
		_, err := t.Write(data)
		return err
	}
	if err := put("findings.txt", []byte(findings)); err != nil {
		return m, err
	}
	if err := put("manifest.json", append(manifest, '\n')); err != nil {
		return m, err
	}
	for _, f := range b.files {
		if err := put(f.Name, f.data); err != nil {
			return m, err
		}
	}
	if err := t.Close(); err != nil {
		return m, err
	}
	return m, z.Close()
}

// root is the folder that the archive unpacks to.
func root(made time.Time) string { return "runnel-doctor-" + made.UTC().Format("20060102T150405Z") }

// DefaultName is the file that a bundle made at a time is written to unless told otherwise.
func DefaultName(made time.Time) string { return fmt.Sprintf("%s.tar.gz", root(made)) }
