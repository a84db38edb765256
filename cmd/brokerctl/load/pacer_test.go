package load

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/runnel-io/runnel/rpc/client"
)

func TestPacerKeepsItsScheduleWhenItFallsBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		p := newPacer(start, 100, 0, 1, timerWaiter{})
		for i := range 100 {
			due, err := p.next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if want := start.Add(time.Duration(i) * 10 * time.Millisecond); !due.Equal(want) {
				t.Fatalf("record %d was due at %v, want %v", i, due.Sub(start), want.Sub(start))
			}
			if i == 50 { // a Produce that blocks for a quarter of a second
				<-time.After(250 * time.Millisecond)
			}
			if late := time.Since(due); (i <= 50 || i >= 76) && i != 50 && late != 0 {
				t.Fatalf("record %d came %v late", i, late)
			}
		}
		if took := time.Since(start); took != 990*time.Millisecond {
			t.Errorf("100 records at 100/s took %v", took)
		}
	})
}

func TestPacersInterleaveAndDoNotDrift(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		const rate, producers = 300_000, 3
		for i := range producers {
			p := newPacer(start, rate, i, producers, timerWaiter{})
			first, err := p.next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if want := time.Duration(i) * time.Second / rate; first.Sub(start) != want {
				t.Errorf("producer %d begins at %v, want %v", i, first.Sub(start), want)
			}
			p.n = rate / producers * 3600
			p.seen = start.Add(2 * time.Hour)
			last, err := p.next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if drift := last.Sub(first) - time.Hour; drift < -time.Microsecond || drift > time.Microsecond {
				t.Errorf("producer %d drifts by %v in an hour", i, drift)
			}
		}
	})
}

func TestWaiterWaitsAndEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	w, err := newWaiter(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := w.close(); err != nil {
			t.Error(err)
		}
	}()
	for range 5 {
		at := time.Now().Add(2 * time.Millisecond)
		if err := w.until(ctx, at); err != nil {
			t.Fatal(err)
		}
		if time.Now().Before(at) {
			t.Error("woke too early")
		}
	}
	if err := w.until(ctx, time.Now().Add(-time.Second)); err != nil {
		t.Errorf("a moment gone by: %v", err)
	}
	time.AfterFunc(5*time.Millisecond, cancel)
	if err := w.until(ctx, time.Now().Add(time.Hour)); !errors.Is(err, context.Canceled) {
		t.Errorf("err = %v, want the context's", err)
	}
}

func TestPayloadsAreNotCompressibleToNothing(t *testing.T) {
	for _, size := range []int{1, 200, 1 << 10, 64 << 10, 3 << 20} {
		p := newPayloads(newRing(size), size, 0, 1)
		var all []byte
		for len(all) < max(256<<10, 2*size) {
			v := p.next()
			if len(v) != size {
				t.Fatalf("a value of %d bytes, want %d", len(v), size)
			}
			all = append(all, v...)
		}
		enc, err := zstd.NewWriter(nil)
		if err != nil {
			t.Fatal(err)
		}
		if n := len(enc.EncodeAll(all, nil)); n < len(all)*2/5 || n > len(all)*9/10 {
			t.Errorf("record size %d: %d bytes compress to %d", size, len(all), n)
		}
	}
}

func TestPayloadsDifferBetweenProducersAndRounds(t *testing.T) {
	const size = 1000
	ring := newRing(size)
	a, b := newPayloads(ring, size, 0, 2), newPayloads(ring, size, 1, 2)
	first := a.next()
	if bytes.Equal(first, b.next()) {
		t.Error("two producers begin with the same value")
	}
	for range len(ring)/size + 1 {
		if bytes.Equal(first, a.next()) {
			t.Fatal("the second round repeats the first")
		}
	}
}

// instant acknowledges within Produce.
type instant struct{ offset int64 }

func (p *instant) Produce(_ context.Context, r *client.Record, promise func(*client.Record, error)) {
	r.Offset = p.offset
	p.offset++
	promise(r, nil)
}
func (p *instant) Flush(context.Context) error { return nil }
func (p *instant) Close() error                { return nil }

func newTestSender(p Producer, st *stamp) *sender {
	s := &sender{
		plan: sendPlan{stamp: st}, client: p, meter: newMeter(window{}), values: newPayloads(newRing(200), 200, 0, 1), partition: -1,
	}
	s.slots.New = s.newSlot
	return s
}

// The generator shares two cores with the brokers: a record must not allocate.
func TestARecordCostsNoAllocation(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector empties the pool")
	}
	for name, st := range map[string]*stamp{"plain": nil, "stamped": {id: 1, began: time.Now()}} {
		s := newTestSender(&instant{}, st)
		got := testing.AllocsPerRun(20, func() {
			s.quota = 1000
			if err := s.loop(t.Context()); err != nil {
				t.Fatal(err)
			}
		})
		if got > 10 { // of 1000 records; the pool may be emptied by a collection
			t.Errorf("%s: %v allocations for 1000 records", name, got)
		}
	}
}

func BenchmarkSender(b *testing.B) {
	s := newTestSender(&instant{}, nil)
	s.quota = int64(b.N)
	b.ReportAllocs()
	b.ResetTimer()
	if err := s.loop(b.Context()); err != nil {
		b.Fatal(err)
	}
}

func TestStampIsReadBackAndForeignValuesAreNot(t *testing.T) {
	began := time.Now()
	st := &stamp{id: 7, began: began}
	due := began.Add(123456789)
	v := st.put(make([]byte, 20), []byte("abcdefghijklmnopqrst"), due)
	if got, ok := st.open(v); !ok || !got.Equal(due) || string(v[16:]) != "qrst" {
		t.Errorf("open(%q) = %v, %v", v, got, ok)
	}
	if _, ok := (&stamp{id: 8, began: began}).open(v); ok {
		t.Error("another run's record was taken for one's own")
	}
	if _, ok := st.open([]byte("short")); ok {
		t.Error("a short value was taken for a stamp")
	}
}
