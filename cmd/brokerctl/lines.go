package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
)

// lineReader cuts a stream into lines of a bounded length. It ends with its context although a read of a terminal cannot
// be interrupted.
type lineReader struct {
	b     *bufio.Reader
	limit int
	n     int64
}

func newLineReader(ctx context.Context, in io.Reader, limit int) *lineReader {
	// One byte more than the limit is the newline.
	return &lineReader{b: bufio.NewReaderSize(newInterruptible(ctx, in), limit+1), limit: limit}
}

// tooLongError is a line above the limit.
type tooLongError struct {
	line  int64
	limit int
}

func (e *tooLongError) Error() string {
	return fmt.Sprintf("line %d is longer than %s", e.line, plural(int64(e.limit), "byte"))
}

// next is the next line without its newline, valid until the next call. The last line needs no newline. The error at
// the end is io.EOF.
func (l *lineReader) next() ([]byte, error) {
	line, err := l.b.ReadSlice('\n')
	switch {
	case err == nil:
		line = line[:len(line)-1]
	case errors.Is(err, bufio.ErrBufferFull):
		l.n++
		return nil, &tooLongError{l.n, l.limit}
	case errors.Is(err, io.EOF) && len(line) > 0: // the last line
	default:
		return nil, err
	}
	l.n++
	if len(line) > l.limit {
		return nil, &tooLongError{l.n, l.limit}
	}
	return line, nil
}

// interruptible is a reader whose Read ends with its context. The read underneath goes on in a goroutine of its own,
// which ends with that read: for a pipe or a file at its next byte or its end, for an idle terminal with the process.
type interruptible struct {
	ctx    context.Context
	filled chan filled
	free   chan []byte
	rest   []byte
	buf    []byte
	err    error
}

type filled struct {
	b   []byte
	n   int
	err error
}

const readBytes = 256 << 10

func newInterruptible(ctx context.Context, in io.Reader) *interruptible {
	r := &interruptible{ctx: ctx, filled: make(chan filled), free: make(chan []byte, 2)}
	r.free <- make([]byte, readBytes)
	r.free <- make([]byte, readBytes)
	go func() {
		for {
			select {
			case <-ctx.Done():
				return
			case b := <-r.free:
				n, err := in.Read(b)
				select {
				case <-ctx.Done():
					return
				case r.filled <- filled{b, n, err}:
				}
				if err != nil {
					return
				}
			}
		}
	}()
	return r
}

func (r *interruptible) Read(p []byte) (int, error) {
	for len(r.rest) == 0 {
		if r.err != nil {
			return 0, r.err
		}
		if r.buf != nil {
			r.free <- r.buf // has room for both buffers
			r.buf = nil
		}
		select {
		case <-r.ctx.Done():
			return 0, r.ctx.Err()
		case f := <-r.filled:
			r.buf, r.rest, r.err = f.b, f.b[:f.n], f.err
		}
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}
