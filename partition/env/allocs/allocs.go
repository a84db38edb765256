// Package allocs lets tests bound what a call allocates: a decoder that believes a length which somebody sent allocates for bytes that
// never come. Callers: fuzz targets.
package allocs

import (
	"runtime/metrics"
	"testing"
)

// Most fails t if f allocates more than so many bytes, those included that are free again when it returns. Small blocks are counted
// some kilobytes late, and those of other goroutines are counted too: leave room for both.
func Most(t testing.TB, bytes uint64, f func()) {
	t.Helper()
	before := allocated()
	f()
	if n := allocated() - before; n > bytes {
		t.Fatalf("%d bytes allocated, at most %d were expected", n, bytes)
	}
}

func allocated() uint64 {
	s := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}
