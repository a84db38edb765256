package client

import (
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/runnel-io/runnel/partition/record"
)

// TestMain makes the zstd codec's shared encoder and decoder first: made within a synctest bubble they would belong to it.
func TestMain(m *testing.M) {
	b, err := record.Encode(nil, []record.Record{{Value: make([]byte, 1000)}}, record.EncodeOptions{Codec: record.CodecZstd, ProducerID: -1})
	if err == nil {
		err = record.Each(b, 0, func(int64, record.Record) error { return nil })
	}
	if err != nil {
		println(err.Error())
		os.Exit(1)
	}
	goleak.VerifyTestMain(m)
}
