package main

import (
	"bytes"
	"net/netip"
	"testing"
)

// question asks for a name's records of a kind.
func question(name []byte, kind byte) []byte {
	return append(append([]byte{7, 9, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0}, name...), 0, kind, 0, 1)
}

func TestTheNameServerTellsWhereANameLeadsNow(t *testing.T) {
	n := &names{table: map[string]netip.Addr{}}
	b1 := []byte("\x02B1\x06runnel\x00")
	for _, address := range []string{"10.0.0.1", "10.0.0.12"} {
		if err := n.set("b1.runnel", address); err != nil {
			t.Fatal(err)
		}
		a, err := n.answer(question(b1, typeA))
		four := netip.MustParseAddr(address).As4()
		if err != nil || a[0] != 7 || a[1] != 9 || a[3]&15 != 0 || a[7] != 1 || !bytes.HasSuffix(a, four[:]) {
			t.Fatalf("%s: %v, %v", address, a, err)
		}
	}
	const typeAAAA = 28
	if a, err := n.answer(question(b1, typeAAAA)); err != nil || a[3]&15 != 0 || a[7] != 0 {
		t.Errorf("another kind of record of a name that there is: %v, %v", a, err)
	}
	if a, err := n.answer(question([]byte("\x02b2\x00"), typeA)); err != nil || a[3]&15 != 3 {
		t.Errorf("a name that there is not: %v, %v", a, err)
	}
	for cut := range question(b1, typeA) {
		if _, err := n.answer(question(b1, typeA)[:cut]); err == nil {
			t.Errorf("%d bytes of a question were answered", cut)
		}
	}
}
