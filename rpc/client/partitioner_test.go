package client

import (
	"testing"
	"time"
)

// The vectors are those of Kafka's UtilsTest.testMurmur2.
func TestMurmur2IsKafkas(t *testing.T) {
	for in, want := range map[string]int32{
		"21":                         -973932308,
		"foobar":                     -790332482,
		"a-little-bit-long-string":   -985981536,
		"a-little-bit-longer-string": -1486304829,
		"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
		"abc": 479470107,
	} {
		if got := int32(murmur2([]byte(in))); got != want {
			t.Errorf("murmur2(%q) = %d, want %d", in, got, want)
		}
	}
	if p := keyPartition([]byte("foobar"), 7); p != int32((uint32(0x100000000-790332482)&0x7fffffff)%7) {
		t.Errorf("foobar goes to partition %d of 7", p)
	}
}

func TestPartitionChoice(t *testing.T) {
	tq, now := &topicQueues{name: "t", batchBytes: 1000}, time.Unix(1000, 0)
	for n := range int32(8) {
		tq.parts = append(tq.parts, &queue{num: n, leader: leader{id: 1}})
	}
	key := &Record{Partition: AnyPartition, Key: []byte("k")}
	first, err := tq.choose(key, 1, now)
	if err != nil {
		t.Fatal(err)
	}
	switches, used, last := 0, make(map[int32]int), int32(-1)
	for range 80_000 {
		if q, err := tq.choose(key, 1, now); err != nil || q != first {
			t.Fatalf("the key went to %v (%v), then to %v", first.num, err, q.num)
		}
		q, err := tq.choose(&Record{Partition: AnyPartition}, 10, now)
		if err != nil {
			t.Fatal(err)
		}
		used[q.num] += 10
		if q.num != last {
			switches, last = switches+1, q.num
		}
	}
	if len(used) != 8 || switches > 800 {
		t.Fatalf("used %v with %d switches, want all partitions and at most a switch every 1000 bytes", used, switches)
	}
	tq.sticky, tq.batchBytes, used = nil, 1<<20, make(map[int32]int)
	for range 1000 { // a byte each 10 ms would stay with one partition for hours
		q, err := tq.choose(&Record{Partition: AnyPartition}, 1, now)
		if err != nil {
			t.Fatal(err)
		}
		used[q.num]++
		now = now.Add(10 * time.Millisecond)
	}
	for n, got := range used {
		if len(used) != 8 || got > 250 {
			t.Fatalf("in ten seconds partition %d got %d of 1,000 records that came slowly: %v", n, got, used)
		}
	}
	tq.parts[3].leader.id = noLeader
	leaderless := 0
	for range 6400 {
		if tq.pickSticky().num == 3 {
			leaderless++
		}
	}
	if leaderless > 200 { // drawn twice: 1 in 64
		t.Fatalf("the leaderless partition was picked %d times of 6400", leaderless)
	}
}
