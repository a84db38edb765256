package workload

import (
	"hash/fnv"
	"math/rand/v2"
	"strings"
)

// Marker is at the beginning of every payload, so that a value is found in a file.
const Marker = "runnel-value:"

const (
	usualFiller = 100
	// largeFiller is stored in another way than small ones.
	largeFiller = 6 << 10
	largeEvery  = 32
)

// Payload is what is stored for a value: the value and a filler that only this value has.
func Payload(value string) []byte {
	return []byte(Marker + value + "|" + filler(value))
}

// Value is the value of a payload. What is no payload is answered as it is, and nobody sent that.
func Value(payload []byte) string {
	text := string(payload)
	value, rest, ok := strings.Cut(strings.TrimPrefix(text, Marker), "|")
	if !ok || !strings.HasPrefix(text, Marker) || rest != filler(value) {
		return "damaged: " + text[:min(len(text), 64)]
	}
	return value
}

func filler(value string) string {
	h := fnv.New64a()
	_, _ = h.Write([]byte(value)) // never fails
	r := rand.New(rand.NewPCG(h.Sum64(), 1))
	size := usualFiller
	if r.IntN(largeEvery) == 0 {
		size = largeFiller
	}
	out := make([]byte, size)
	for i := range out {
		out[i] = 'a' + byte(r.IntN(26))
	}
	return string(out)
}
