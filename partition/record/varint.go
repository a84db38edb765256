package record

// Varints are zigzag, little end first, as in protobuf: up to 5 bytes for 32 bits, 10 for 64. The readers return n == 0
// if b ends too early or the number has too many bits. They are written out because a batch of 1,300 records has 8,000
// of them and nearly all take one or two bytes.

func varint(b []byte) (v int64, n int) {
	if len(b) == 0 {
		return 0, 0
	}
	if c := b[0]; c < 0x80 {
		return int64(c>>1) ^ -int64(c&1), 1
	}
	if len(b) > 1 && b[1] < 0x80 {
		u := uint64(b[0]&0x7f) | uint64(b[1])<<7
		return int64(u>>1) ^ -int64(u&1), 2
	}
	return varintSlow(b)
}

func varintSlow(b []byte) (int64, int) {
	var u uint64
	for i, c := range b {
		if i == 9 && c > 1 {
			return 0, 0
		}
		u |= uint64(c&0x7f) << (7 * i)
		if c < 0x80 {
			return int64(u>>1) ^ -int64(u&1), i + 1
		}
		if i == 9 {
			return 0, 0
		}
	}
	return 0, 0
}

func appendVarint(b []byte, v int64) []byte {
	u := uint64(v)<<1 ^ uint64(v>>63)
	for u >= 0x80 {
		b = append(b, byte(u)|0x80)
		u >>= 7
	}
	return append(b, byte(u))
}

func varintLen(v int64) int {
	u := uint64(v)<<1 ^ uint64(v>>63)
	n := 1
	for u >= 0x80 {
		u >>= 7
		n++
	}
	return n
}
