//go:build mutants

package mutant

import (
	"encoding/binary"
	"hash/crc32"
	"os"
)

var chosen = os.Getenv("MUTANT")

// On tells whether a bug is chosen.
func On(name string) bool { return name == chosen }

// Half cuts an uncompressed batch of more than one record after half of its records, in place. It still says that it has all of
// them, so its offsets and sequences are those of the whole.
func Half(batch []byte) []byte {
	const length, crc, attributes, count, header = 8, 17, 21, 57, 61
	at := header
	for range binary.BigEndian.Uint32(batch[count:]) / 2 {
		size, n := binary.Varint(batch[at:])
		at += n + int(size)
	}
	if at == header || batch[attributes+1]&7 != 0 {
		return batch
	}
	batch = batch[:at]
	binary.BigEndian.PutUint32(batch[length:], uint32(at-length-4))
	binary.BigEndian.PutUint32(batch[crc:], crc32.Checksum(batch[attributes:], crc32.MakeTable(crc32.Castagnoli)))
	return batch
}
