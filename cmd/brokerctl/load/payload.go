package load

import "math/rand/v2"

// ringBytes is the least size of the payload ring: far more than a batch, so that no compressor finds a record twice
// in one batch, and little enough to make in a few milliseconds.
const ringBytes = 4 << 20

// The ring alternates words that come again and letters that do not, as text and JSON do: a compressor makes a good half
// of it, not nothing.
const (
	alphabet    = "abcdefghijklmnopqrstuvwxyz012345"
	words       = 512
	wordBytes   = 8
	randomBytes = 12
)

// newRing makes the bytes that all payloads of a run are slices of. It is the same in every run.
func newRing(recordSize int) []byte {
	size := max(ringBytes, 4*recordSize)
	rng := rand.New(rand.NewPCG(0x52756e6e656c, 1))
	dictionary := letters(nil, rng, words*wordBytes)
	ring := make([]byte, 0, size+wordBytes+randomBytes)
	for len(ring) < size {
		at := rng.IntN(words) * wordBytes
		ring = append(ring, dictionary[at:at+wordBytes]...)
		ring = letters(ring, rng, randomBytes)
	}
	return ring[:size]
}

// letters appends n random letters; one draw gives twelve.
func letters(dst []byte, rng *rand.Rand, n int) []byte {
	for n > 0 {
		for x, k := rng.Uint64(), 0; k < 12 && n > 0; k++ {
			dst = append(dst, alphabet[x&31])
			x >>= 5
			n--
		}
	}
	return dst
}

// payloads cuts one producer's record values out of the ring, one after the other.
type payloads struct {
	ring []byte
	size int
	pos  int
}

// newPayloads starts producer i of n at its own place in the ring.
func newPayloads(ring []byte, size, i, n int) *payloads {
	return &payloads{ring: ring, size: size, pos: (len(ring) - size) / n * i}
}

// next is the next value. It is read-only: others share its bytes.
func (p *payloads) next() []byte {
	if p.pos+p.size > len(p.ring) {
		// Not back to 0: with another start in each round the values of two rounds differ too.
		p.pos = (p.pos*31 + 7) % (len(p.ring) - p.size + 1)
	}
	v := p.ring[p.pos : p.pos+p.size : p.pos+p.size]
	p.pos += p.size
	return v
}
