package broker

import (
	"fmt"
	"sync"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// chunkPool keeps the buffers that partitions read into. It is the mem.BufferPool of the references given to gRPC, so a
// chunk comes back when the last of its bytes is written.
type chunkPool struct {
	size int
	pool sync.Pool
}

func newChunkPool(size int) *chunkPool {
	p := &chunkPool{size: size}
	p.pool.New = func() any {
		b := make([]byte, 0, size)
		return &b
	}
	return p
}

// Get gives an empty chunk; it is always of the pool's size.
func (p *chunkPool) Get(int) *[]byte {
	b := p.pool.Get().(*[]byte) //nolint:forcetypeassert,errcheck // the pool holds nothing else
	*b = (*b)[:0]
	return b
}

// Put takes a chunk back.
func (p *chunkPool) Put(b *[]byte) {
	if cap(*b) >= p.size {
		p.pool.Put(b)
	}
}

// fetchMessage is a FetchResponse whose batches lie in a pooled chunk, as far as they fit.
type fetchMessage struct {
	*runnelv1.FetchResponse

	chunks *chunkPool
	chunk  *[]byte
	// where tells for each result where in the chunk its batches begin; -1: elsewhere.
	where []int
	bytes int // of batches
	taken bool
}

func (s *Server) newFetchMessage() *fetchMessage {
	return &fetchMessage{FetchResponse: new(runnelv1.FetchResponse), chunks: s.chunks, chunk: s.chunks.Get(0)}
}

// room is the unused rest of the chunk, empty, to be appended to. What does not fit there is allocated apart.
func (m *fetchMessage) room() []byte {
	b := *m.chunk
	return b[len(b):len(b):cap(b)]
}

// add takes a result in. Its batches were made by appending to room().
func (m *fetchMessage) add(r *runnelv1.FetchPartitionResult) {
	m.Results = append(m.Results, r)
	m.bytes += len(r.GetBatches())
	at := -1
	if n := len(r.GetBatches()); n > 0 && n <= cap(*m.chunk)-len(*m.chunk) {
		b := *m.chunk
		if tail := b[len(b) : len(b)+n]; &tail[0] == &r.GetBatches()[0] {
			at = len(b)
			*m.chunk = b[:len(b)+n]
		}
	}
	m.where = append(m.where, at)
}

// release gives the chunk back unless the codec passed it on to gRPC. The message must not be used afterwards.
func (m *fetchMessage) release() {
	if !m.taken {
		m.chunks.Put(m.chunk)
	}
}

// marshal encodes the message with its batches by reference. gRPC calls it once a message, before SendMsg returns.
func (m *fetchMessage) marshal() (mem.BufferSlice, error) {
	var out mem.BufferSlice
	root := mem.NewBuffer(m.chunk, m.chunks)
	m.taken = true
	defer root.Free() // the slices below hold their own references
	var meta []byte
	for i, r := range m.Results {
		batches := r.GetBatches()
		r.Batches = nil
		size := proto.Size(r)
		total := size
		if len(batches) > 0 {
			total += protowire.SizeTag(fieldBatches) + protowire.SizeBytes(len(batches))
		}
		meta = protowire.AppendTag(meta, fieldResults, protowire.BytesType)
		meta = protowire.AppendVarint(meta, uint64(total)) //nolint:gosec // a size
		var err error
		meta, err = proto.MarshalOptions{UseCachedSize: true}.MarshalAppend(meta, r)
		r.Batches = batches
		if err != nil {
			out.Free()
			return nil, fmt.Errorf("encode a fetch response: %w", err)
		}
		if len(batches) == 0 {
			continue
		}
		meta = protowire.AppendTag(meta, fieldBatches, protowire.BytesType)
		meta = protowire.AppendVarint(meta, uint64(len(batches)))
		out = append(out, mem.SliceBuffer(meta))
		meta = nil
		if at := m.where[i]; at >= 0 {
			out = append(out, root.Slice(at, at+len(batches)))
		} else {
			out = append(out, mem.SliceBuffer(batches))
		}
	}
	if len(meta) > 0 {
		out = append(out, mem.SliceBuffer(meta))
	}
	return out, nil
}

// Field numbers of broker.proto.
const (
	fieldResults = 1 // FetchResponse.results
	fieldBatches = 4 // FetchPartitionResult.batches
)
