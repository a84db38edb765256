package peer

import (
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
)

// codec sends frames raw and everything else as protobuf. It is given to connections and servers by option, so nothing is
// registered globally.
type codec struct{ fallback encoding.CodecV2 }

func newCodec() codec { return codec{fallback: encoding.GetCodecV2(proto.Name)} }

// Marshal references the data of a frame's entries: raft never changes them.
func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	f, ok := v.(*outFrame)
	if !ok {
		return c.fallback.Marshal(v)
	}
	out := make(mem.BufferSlice, 0, 1+len(f.data))
	out = append(out, mem.SliceBuffer(f.head))
	for _, d := range f.data {
		out = append(out, mem.SliceBuffer(d))
	}
	return out, nil
}

func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	switch f := v.(type) {
	case *inFrame:
		return f.decode(data)
	case unread:
		return nil
	}
	return c.fallback.Unmarshal(data, v)
}

// unread takes a message of any form and keeps nothing of it.
type unread struct{}

// Name is part of the content type.
func (codec) Name() string { return "runnel-frame" }
