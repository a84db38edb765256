package record

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// keepBuffer is the largest buffer that goes back into the pool.
const keepBuffer = 4 << 20

var buffers = sync.Pool{New: func() any { return new([]byte) }}

func getBuffer() *[]byte { return buffers.Get().(*[]byte) }

func putBuffer(b *[]byte) {
	if cap(*b) <= keepBuffer {
		buffers.Put(b)
	}
}

// errTooLarge is found in what decompressors return when the output passes the bound.
var errTooLarge = errors.New("decompresses to more than the limit")

// decompress appends what src decompresses to, at most limit bytes, to dst[:0]. On an error it still returns the buffer
// so that it can be pooled. Errors are *BatchError.
func decompress(dst, src []byte, c Codec, limit int) ([]byte, error) {
	var err error
	out := dst
	switch c {
	case CodecGzip:
		out, err = gunzip(dst, src, limit)
	case CodecSnappy:
		out, err = unsnappy(dst, src, limit)
	case CodecLZ4:
		out, err = unlz4(dst, src, limit)
	case CodecZstd:
		out, err = unzstd(dst, src, limit)
	default:
		return dst, badBatch("its compression %d is unknown", c)
	}
	switch {
	case errors.Is(err, errTooLarge):
		return out, &BatchError{TooLarge: true, Problem: fmt.Sprintf("its %s records decompress to more than %d bytes", c, limit)}
	case err != nil:
		return out, badBatch("its records are no %s: %v", c, err)
	}
	return out, nil
}

// readBounded reads r to its end into dst, and fails as soon as there are more than limit bytes.
func readBounded(dst []byte, r io.Reader, hint, limit int) ([]byte, error) {
	dst = slices.Grow(dst, min(max(hint, 512), limit+1))
	for {
		if len(dst) == cap(dst) {
			dst = slices.Grow(dst, min(len(dst), limit+1-len(dst)))
		}
		n, err := r.Read(dst[len(dst):cap(dst)])
		dst = dst[:len(dst)+n]
		if len(dst) > limit {
			return dst, errTooLarge
		}
		if errors.Is(err, io.EOF) {
			return dst, nil
		}
		if err != nil {
			return dst, err
		}
	}
}

type gzipReader struct {
	src bytes.Reader
	z   gzip.Reader
}

var gzipReaders = sync.Pool{New: func() any { return new(gzipReader) }}

func gunzip(dst, src []byte, limit int) ([]byte, error) {
	r := gzipReaders.Get().(*gzipReader)
	defer gzipReaders.Put(r)
	defer r.src.Reset(nil)
	r.src.Reset(src)
	if err := r.z.Reset(&r.src); err != nil {
		return dst, err
	}
	return readBounded(dst, &r.z, 4*len(src), limit)
}

type lz4Reader struct {
	src bytes.Reader
	z   *lz4.Reader
}

var lz4Readers = sync.Pool{New: func() any { return &lz4Reader{z: lz4.NewReader(nil)} }}

func unlz4(dst, src []byte, limit int) ([]byte, error) {
	r := lz4Readers.Get().(*lz4Reader)
	defer lz4Readers.Put(r)
	defer r.src.Reset(nil)
	r.src.Reset(src)
	r.z.Reset(&r.src)
	return readBounded(dst, r.z, 4*len(src), limit)
}

// xerialMagic starts the framing of snappy-java, which the Java clients use: 8 bytes of magic, two versions of 4 bytes,
// then blocks of a big endian length and raw snappy.
var xerialMagic = []byte{130, 'S', 'N', 'A', 'P', 'P', 'Y', 0}

const xerialHeaderLen = 16

func unsnappy(dst, src []byte, limit int) ([]byte, error) {
	if len(src) < xerialHeaderLen || !bytes.HasPrefix(src, xerialMagic) {
		return snappyBlock(dst, src, limit)
	}
	src = src[xerialHeaderLen:]
	for len(src) > 0 {
		if len(src) < 4 {
			return dst, errors.New("a block's length is cut off")
		}
		size := int64(binary.BigEndian.Uint32(src))
		if size > int64(len(src)-4) {
			return dst, errors.New("a block is cut off")
		}
		var err error
		if dst, err = snappyBlock(dst, src[4:4+size], limit); err != nil {
			return dst, err
		}
		src = src[4+size:]
	}
	return dst, nil
}

// snappyBlock believes a block's claim of its size only if the block is long enough for it: snappy makes at most 64
// bytes of 3 (a copy element), so a larger claim is a lie made to have memory allocated.
func snappyBlock(dst, src []byte, limit int) ([]byte, error) {
	n, err := s2.DecodedLen(src)
	if err != nil {
		return dst, err
	}
	if n > limit-len(dst) {
		return dst, errTooLarge
	}
	if n/64 > len(src) {
		return dst, fmt.Errorf("a block of %d bytes claims to hold %d", len(src), n)
	}
	at := len(dst)
	dst = slices.Grow(dst, n)
	out, err := s2.Decode(dst[at:at+n], src)
	if err != nil {
		return dst, err
	}
	if len(out) > 0 && &out[0] != &dst[:at+1][at] { // never seen: s2 decodes in place given the room
		return append(dst, out...), nil
	}
	return dst[:at+len(out)], nil
}

// One decoder serves everybody: DecodeAll may run concurrently and starts no goroutine. The limit on the output is the
// capacity of the slice it is given.
var zstdDecoder = sync.OnceValues(func() (*zstd.Decoder, error) {
	return zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderLowmem(true),
		zstd.WithDecodeAllCapLimit(true), zstd.WithDecoderMaxMemory(maxBatch))
})

func unzstd(dst, src []byte, limit int) ([]byte, error) {
	dec, err := zstdDecoder()
	if err != nil {
		return dst, err
	}
	var h zstd.Header
	if err := h.Decode(src); err != nil {
		return dst, err
	}
	// The decoder refuses a frame that claims more than there is room for before it looks further, and room is then made. So that a lie costs
	// no more than what is true, it ends with what the blocks can hold: 128 KiB (RFC 8878, 3.1.1.2.3), and each takes 3 bytes at least.
	tooMuch := errTooLarge
	if most := len(src) / 3 << 17; most < limit {
		limit, tooMuch = most, fmt.Errorf("a frame of %d bytes claims to hold more than %d", len(src), most)
	}
	// A claimed size is granted only so far that it costs little; real batches compress less than 32 times or take another turn.
	const least = 4 << 10
	room := max(4*len(src), least)
	if h.HasFCS {
		if h.FrameContentSize > uint64(limit) {
			return dst, tooMuch
		}
		room = min(int(h.FrameContentSize), 32*len(src)+least)
	}
	room = min(room, limit)
	for {
		dst = slices.Grow(dst[:0], room)
		out, err := dec.DecodeAll(src, dst[:0:min(cap(dst), limit)])
		if !errors.Is(err, zstd.ErrDecoderSizeExceeded) {
			if err != nil {
				return dst, err
			}
			return out, nil
		}
		if cap(dst) >= limit {
			return dst, tooMuch
		}
		room = min(max(2*room, 2*cap(dst), least), limit) // a frame may claim to hold nothing
	}
}
