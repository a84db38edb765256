package gossip

import (
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestMetaRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringN(0, 20, 60)
		m := Meta{
			BrokerID: rapid.Int32Range(0, 1<<31-1).Draw(t, "id"), Nonce: rapid.Uint64Range(1, 1<<64-1).Draw(t, "nonce"),
			ClusterID: text.Draw(t, "cluster"), Client: text.Draw(t, "client"), Peer: text.Draw(t, "peer"), HTTP: text.Draw(t, "http"),
			Rack: text.Draw(t, "rack"), Version: text.Draw(t, "version"), Empty: rapid.Bool().Draw(t, "empty"),
			SeedsHash: rapid.Uint32().Draw(t, "hash"), BootMS: rapid.Int64().Draw(t, "boot"), Level: rapid.Uint32Range(0, 127).Draw(t, "level"),
		}
		b, err := m.Encode()
		if err != nil {
			t.Fatal(err)
		}
		got, err := DecodeMeta(b)
		if err != nil || got != m {
			t.Fatalf("%+v, %v; want %+v", got, err, m)
		}
		if got, err := DecodeMeta(append(b, "what a newer version adds"...)); err != nil || got != m {
			t.Fatalf("with more fields: %+v, %v", got, err)
		}
		first := len(b) - 1 // what the first release announces has no level
		if got, err := DecodeMeta(b[:first]); err != nil || got.Level != 0 || got.Version != m.Version {
			t.Fatalf("of the first release: %+v, %v", got, err)
		}
		for n := range first {
			if _, err := DecodeMeta(b[:n]); err == nil {
				t.Fatalf("%d of %d bytes were read", n, len(b))
			}
		}
	})
}

func TestMetaTooLongSaysWhat(t *testing.T) {
	m := Meta{Nonce: 1, Client: strings.Repeat("c", 300), Peer: strings.Repeat("p", 250)}
	_, err := m.Encode()
	if err == nil || !strings.Contains(err.Error(), "client 300") || !strings.Contains(err.Error(), "shorten") {
		t.Fatal(err)
	}
}

func TestHashSeedsTellsListsApart(t *testing.T) {
	seen := map[uint32]string{}
	for _, l := range [][]string{nil, {"a"}, {"a", "b"}, {"b", "a"}, {"ab"}, {"a", "b", ""}} {
		h := HashSeeds(l)
		if other, ok := seen[h]; ok {
			t.Fatalf("%q and %q", l, other)
		}
		seen[h] = strings.Join(l, ",")
	}
}

func FuzzDecodeMeta(f *testing.F) {
	for _, m := range []Meta{
		{Nonce: 1, Client: "a:1"},
		{
			BrokerID: 3, Nonce: 1 << 63, ClusterID: "qUz3sWv1", Client: "b3:7070", Peer: "b3:7071", HTTP: "b3:7072", Rack: "zone-a", Version: "v0.1.0", SeedsHash: 7,
			BootMS: 1767366245006, Level: 2,
		},
		{Nonce: 9, Empty: true, BootMS: -1},
	} {
		b, err := m.Encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
		f.Add(b[:len(b)-1])                   // of the first release
		f.Add(append(b, "of a newer one"...)) // has more fields
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := DecodeMeta(b)
		if err != nil {
			return
		}
		again, err := m.Encode()
		if err != nil {
			return // a longer than shortest encoding of the boot time may not fit
		}
		if got, err := DecodeMeta(again); err != nil || got != m {
			t.Fatalf("%+v, %v; want %+v", got, err, m)
		}
	})
}

// The id of the cluster comes later than the check at the start. By then the broker is a member for good, and would end at each start.
func TestWhatDoesNotFitWithAClusterIDIsRefusedAtTheStart(t *testing.T) {
	of := func(http int) Meta {
		return Meta{
			Nonce: 7, Empty: true, Version: "v1.2.3", BootMS: 1767366245006, Level: 3,
			Client: strings.Repeat("c", 150), Peer: strings.Repeat("p", 150), HTTP: strings.Repeat("h", http),
		}
	}
	fits := 0
	for n := range 200 {
		m := of(n)
		m.ClusterID = strings.Repeat("0", ClusterIDBytes)
		if _, err := m.Encode(); err == nil {
			fits = n
		}
	}
	start := func(m Meta) (*Gossip, error) {
		return Start(t.Context(), Config{Listen: "127.0.0.1:0", Profile: ProfileLocal, Meta: m})
	}
	g, err := start(of(fits))
	if err != nil {
		t.Fatal(err)
	}
	m := of(fits)
	m.Empty, m.BrokerID, m.ClusterID = false, 1, strings.Repeat("a", ClusterIDBytes)
	if err := errors.Join(g.SetMeta(m), g.Stop(t.Context())); err != nil {
		t.Fatalf("the cluster was founded: %v", err)
	}
	g, err = start(of(fits + 1))
	if err == nil {
		m.HTTP += "h"
		t.Fatalf("it starts, and once the cluster is founded: %v", errors.Join(g.SetMeta(m), g.Stop(t.Context())))
	}
	for _, part := range []string{"513 bytes, 512 fit", "shorten", "client 150, peer 150", "cluster id 32"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%v; it does not tell %q", err, part)
		}
	}
}
