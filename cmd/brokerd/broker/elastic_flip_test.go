package broker_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/runnel-io/runnel/cmd/brokerd/broker/brokertest"
	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

// replicasOn are the ids of a broker's replicas of "orders", by partition, as another broker knows them; 0 = there is none.
func replicasOn(c *brokertest.Cluster, broker int32) map[int]uint64 {
	ids := map[int]uint64{}
	for n, p := range c.Broker(1).State().Topics["orders"].Partitions {
		r, _ := p.On(broker)
		ids[n] = r.ID
	}
	return ids
}

// flipRecord changes one bit of a random record's value in a replica's folder. bbolt may have earlier copies of it in pages that are free
// by now: the bit is flipped in all of them, so that the one in use is hit.
func flipRecord(t *testing.T, folder string, rnd *rand.Rand) {
	t.Helper()
	segments, err := filepath.Glob(filepath.Join(folder, "*.seg"))
	if err != nil || len(segments) == 0 {
		t.Fatalf("%s: %v, %d segments", folder, err, len(segments))
	}
	path := segments[rnd.IntN(len(segments))]
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var texts [][]byte
	for rest := b; ; {
		at := bytes.Index(rest, []byte("value-"))
		if at < 0 {
			break
		}
		end := at + len("value-")
		for end < len(rest) && rest[end] >= '0' && rest[end] <= '9' {
			end++
		}
		texts = append(texts, bytes.Clone(rest[at:end]))
		rest = rest[end:]
	}
	if len(texts) == 0 {
		t.Fatalf("%s has no records", path)
	}
	text := texts[rnd.IntN(len(texts))]
	off, bit := rnd.IntN(len(text)), byte(1)<<rnd.IntN(8)
	for at := 0; ; at += len(text) {
		n := bytes.Index(b[at:], text)
		if n < 0 {
			break
		}
		at += n
		b[at+off] ^= bit
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// Each of two dozen damaged replicas is told from good ones when it is read, none of what it holds is served, and each is made anew from its peers.
func TestFlippedBitsInDozensOfReplicasAreHealedFromTheirPeers(t *testing.T) {
	if testing.Short() {
		t.Skip("two dozen replicas are shipped")
	}
	const partitions = 24
	c := elastic(t, 3, never)
	cl := dial(t, c)
	create(t, cl, "orders", partitions, 3)
	records := partitions * 60
	produce(t, cl, "orders", 0, records)
	id := c.Broker(2).ID()
	old := replicasOn(c, id)
	groups := map[uint64]bool{}
	for _, p := range c.Broker(1).State().Topics["orders"].Partitions {
		groups[p.Group] = true
	}
	c.StopBroker(2)
	rnd := rand.New(rand.NewPCG(5, 5))
	dir := filepath.Join(c.Config(2).DataDir, "replicas")
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	flipped := 0
	for _, e := range entries {
		name, _, _ := strings.Cut(e.Name(), "-")
		if group, err := strconv.ParseUint(name, 16, 64); err == nil && groups[group] {
			flipRecord(t, filepath.Join(dir, e.Name()), rnd)
			flipped++
		}
	}
	if flipped != partitions {
		t.Fatalf("%d replicas were damaged, want %d", flipped, partitions)
	}
	c.Restart(2)
	c.WaitReady()
	// Nobody reads a replica that does not lead. One that found its damage at its start leads no more.
	lead := func(n int) (last error) {
		c.Eventually(func() bool {
			if _, last = cl.Admin().TransferLeadership(patient(t), &runnelv1.TransferLeadershipRequest{Topic: "orders", Partition: int32(n), To: id}); last == nil {
				return true
			}
			r, ok := c.Broker(1).State().Topics["orders"].Partitions[n].On(id)
			return ok && r.ID != old[n]
		}, func() string { return fmt.Sprintf("broker %d leads partition %d: %v", id, n, last) })
		return last
	}
	for n := range partitions {
		_ = lead(n) // or it is being replaced already
	}
	wantEach(t, readAll(t, cl, "orders"), records)
	settle(t, c, cl, func(*placed) string {
		for n, now := range replicasOn(c, id) {
			if now == old[n] || now == 0 {
				return fmt.Sprintf("broker %d has replica %d of partition %d", id, now, n)
			}
		}
		return ""
	})
	wantFolders(t, c, 2, partitions+1)
	for n := range partitions {
		if err := lead(n); err != nil {
			t.Fatal(err)
		}
	}
	wantEach(t, readAll(t, cl, "orders"), records)
}
