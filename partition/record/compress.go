package record

import (
	"io"
	"runtime"
	"slices"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// appender is an io.Writer onto the end of a slice.
type appender struct{ b []byte }

func (a *appender) Write(p []byte) (int, error) {
	a.b = append(a.b, p...)
	return len(p), nil
}

// streamWriter is what gzip and lz4 have in common.
type streamWriter interface {
	io.WriteCloser
	Reset(io.Writer)
}

type streamCompressor struct {
	out appender
	w   streamWriter
}

var (
	gzipWriters = sync.Pool{New: func() any { return &streamCompressor{w: gzip.NewWriter(io.Discard)} }}
	lz4Writers  = sync.Pool{New: func() any { return &streamCompressor{w: lz4.NewWriter(io.Discard)} }}
)

// One encoder serves everybody: EncodeAll may run concurrently. The window is that of a usual batch; a larger one costs
// memory for every core.
var zstdEncoder = sync.OnceValues(func() (*zstd.Encoder, error) {
	return zstd.NewWriter(nil, zstd.WithEncoderConcurrency(runtime.GOMAXPROCS(0)),
		zstd.WithWindowSize(256<<10), zstd.WithZeroFrames(true))
})

// compress appends src, compressed, to dst.
func compress(dst, src []byte, c Codec) ([]byte, error) {
	switch c {
	case CodecGzip:
		return compressStream(&gzipWriters, dst, src)
	case CodecLZ4:
		return compressStream(&lz4Writers, dst, src)
	case CodecSnappy:
		at := len(dst)
		dst = slices.Grow(dst, s2.MaxEncodedLen(len(src)))
		out := s2.EncodeSnappy(dst[at:cap(dst)], src)
		return dst[:at+len(out)], nil
	case CodecZstd:
		enc, err := zstdEncoder()
		if err != nil {
			return dst, err
		}
		return enc.EncodeAll(src, dst), nil
	default:
		return append(dst, src...), nil
	}
}

func compressStream(pool *sync.Pool, dst, src []byte) ([]byte, error) {
	s := pool.Get().(*streamCompressor)
	defer pool.Put(s)
	s.out.b = dst
	defer func() { s.out.b = nil }()
	s.w.Reset(&s.out)
	if _, err := s.w.Write(src); err != nil {
		return dst, err
	}
	if err := s.w.Close(); err != nil {
		return dst, err
	}
	return s.out.b, nil
}
