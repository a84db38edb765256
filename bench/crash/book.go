package main

import (
	"encoding/json"
	"io"
	"sync"
)

// book keeps a ledger up to date while operations run, and writes each line before anything that depends on it.
type book struct {
	mu sync.Mutex
	l  *ledger
	w  io.Writer // nil = nowhere. One Write is one line, so that a line is one system call
}

func (b *book) put(m *mark) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	l, err := b.l.take(m)
	if err != nil {
		return err
	}
	b.l = l
	if b.w == nil {
		return nil
	}
	line, err := json.Marshal(m)
	if err != nil {
		return err
	}
	_, err = b.w.Write(append(line, '\n'))
	return err
}

// do runs an operation between its two lines. f may add to the second what is known only then.
func (b *book) do(m *mark, f func(done *mark) error) error {
	if err := b.put(m); err != nil {
		return err
	}
	done := &mark{Op: m.Op, Done: true, Group: m.Group, Replica: m.Replica}
	if err := f(done); err != nil {
		return err
	}
	return b.put(done)
}

// now is the present ledger.
func (b *book) now() *ledger {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.l
}

func (b *book) replica(id replicaID) *expected { return b.now().replicas[id] }
