package raftlog

import (
	"slices"

	bolt "go.etcd.io/bbolt"
)

// appendBuffers is the working memory of one transaction.
type appendBuffers struct {
	pend  []pending
	arena []byte
}

func (s *Store) takeBuffers(n int) *appendBuffers {
	b, _ := s.buffers.Get().(*appendBuffers)
	if b == nil {
		b = &appendBuffers{}
	}
	b.pend = slices.Grow(b.pend[:0], n)[:n]
	return b
}

func (s *Store) giveBuffers(b *appendBuffers) {
	clear(b.pend) // the entries are not the pool's
	if cap(b.pend) <= 4096 && cap(b.arena) <= 4<<20 {
		s.buffers.Put(b)
	}
}

// putAll stores entries. bbolt copies values only while it writes the pages, so small ones are joined with their headers
// in one arena and big ones are handed over as they are.
func putAll(b *bolt.Bucket, buf *appendBuffers) error {
	need := 0
	for i := range buf.pend {
		if d := len(buf.pend[i].e.Data); d < nestedMin {
			need += d + entryHeaderLen
		}
	}
	buf.arena = slices.Grow(buf.arena[:0], need)
	arena := buf.arena
	var key [8]byte
	for i := range buf.pend {
		p := &buf.pend[i]
		k := indexKey(&key, p.h.meta.Index)
		if len(p.e.Data) < nestedMin {
			at := len(arena)
			arena = append(append(arena, p.raw[:]...), p.e.Data...)
			if err := b.Put(k, arena[at:len(arena):len(arena)]); err != nil {
				return err
			}
			continue
		}
		nb, err := b.CreateBucket(k)
		if err != nil {
			return err
		}
		nb.FillPercent = 1.0
		if err := nb.Put(keyEntryHeader, p.raw[:]); err != nil {
			return err
		}
		if err := nb.Put(keyEntryData, p.e.Data); err != nil {
			return err
		}
	}
	return nil
}
