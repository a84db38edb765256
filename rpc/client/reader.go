package client

import (
	"context"
	"iter"
)

// Reader reads records of one topic. Use it from one goroutine at a time. Close it.
type Reader struct{}

// Ready waits until the reader knows where each partition starts: what is written afterwards is read by FromEnd too.
func (r *Reader) Ready(ctx context.Context) error { panic("not yet") }

// Records gives records as they come, those of a partition in the order of their offsets. A non-nil error ends the
// iteration; so does ctx, whose error is then given. Iterating again goes on with the record after the last one given.
func (r *Reader) Records(ctx context.Context) iter.Seq2[*Record, error] { panic("not yet") }

// Close ends the reader. It waits for its goroutines.
func (r *Reader) Close() error { panic("not yet") }
