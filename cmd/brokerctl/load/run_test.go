package load

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	runnelv1 "github.com/runnel-io/runnel/proto/runnel/v1"
)

func timers(context.Context) (waiter, error) { return timerWaiter{}, nil }

func base(m Mode) Config {
	return Config{
		Mode: m, RecordSize: 100, Producers: 1, Consumers: 1, Partitions: 4, Duration: 3 * time.Second, Linger: -1, Timeout: 10 * time.Second,
	}
}

// runFake carries out c in the bubble, and checks what holds for every run: the topic is gone and no client is open.
func runFake(ctx context.Context, t *testing.T, f *fakeCluster, c Config) (Result, error) {
	t.Helper()
	res, err := carryOut(ctx, f, c, nil, timers)
	if c.Topic == "" && len(f.deleted) != 1 {
		t.Errorf("topics deleted: %v, want the run's own", f.deleted)
	}
	if c.Topic != "" && len(f.deleted) != 0 {
		t.Errorf("topics deleted: %v, but the topic was given", f.deleted)
	}
	if f.clients != 0 {
		t.Errorf("%d clients are still open", f.clients)
	}
	return res, err
}

func us(t *testing.T, name string, got *int64, low, high time.Duration) {
	t.Helper()
	if got == nil {
		t.Fatalf("%s is absent", name)
	}
	if d := time.Duration(*got) * time.Microsecond; d < low || d > high {
		t.Errorf("%s = %v, want %v to %v", name, d, low, high)
	}
}

// The cluster answers in a millisecond but stands still during the second second. A load that only measured the
// records it dared to send would report one slow record.
func TestOpenLoopChargesAStallToEveryRecordThatFellDue(t *testing.T) {
	for name, room := range map[string]int{"buffer holds the backlog": 10_000, "Produce blocks": 10} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFakeCluster(0)
				f.room = room
				began := time.Now()
				f.ackAt = func(now time.Time) time.Time {
					if at := now.Sub(began); at >= time.Second && at < 2*time.Second {
						return began.Add(2 * time.Second)
					}
					return now.Add(time.Millisecond)
				}
				c := base(Produce)
				c.Rate = 1000
				res, err := runFake(t.Context(), t, f, c)
				if err != nil {
					t.Fatal(err)
				}
				if res.Records != 3000 || res.Errors != 0 {
					t.Errorf("%d records, %d errors; want 3000 and 0", res.Records, res.Errors)
				}
				us(t, "p50", res.P50US, time.Millisecond, 2*time.Millisecond)
				// A third of the records waited evenly between 0 and 1 s: the worst tenth of all waited 0.7 s and more, and a
				// little more where the backlog passes through a small buffer.
				us(t, "p90", res.P90US, 690*time.Millisecond, 750*time.Millisecond)
				us(t, "max", res.MaxUS, 990*time.Millisecond, 1010*time.Millisecond)
			})
		})
	}
}

func TestOpenLoopCountsAcksAfterTheWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster(2 * time.Second)
		f.room = 10_000
		c := base(Produce)
		c.Rate, c.WarmUp, c.Duration, c.Producers = 1000, time.Second, time.Second, 3
		res, err := runFake(t.Context(), t, f, c)
		if err != nil {
			t.Fatal(err)
		}
		if res.Records != 1000 {
			t.Errorf("%d records, want the 1000 that were due in the window", res.Records)
		}
		us(t, "p50", res.P50US, 1990*time.Millisecond, 2010*time.Millisecond)
		if res.Seconds < 2.9 || res.Seconds > 3 {
			t.Errorf("seconds = %v, want to the last ack", res.Seconds)
		}
	})
}

func TestClosedLoopCountsAcksWithinTheWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster(10 * time.Millisecond) // 100 records under way: 10,000/s
		c := base(Produce)
		c.WarmUp, c.Duration = time.Second, 2*time.Second
		res, err := runFake(t.Context(), t, f, c)
		if err != nil {
			t.Fatal(err)
		}
		if res.Records != 20_000 || res.Seconds != 2 || res.RecordsPerSecond != 10_000 || res.MBPerSecond != 1 {
			t.Errorf("%d records in %v s: %v/s, %v MB/s; want 20000 in 2 s", res.Records, res.Seconds, res.RecordsPerSecond, res.MBPerSecond)
		}
	})
}

func TestLatencyModeHasOneRecordUnderWayForEachProducer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster(5 * time.Millisecond)
		c := base(Latency)
		c.Producers, c.Partitions, c.Duration = 3, 3, time.Second
		res, err := runFake(t.Context(), t, f, c)
		if err != nil {
			t.Fatal(err)
		}
		if res.Records != 600 || res.Clients != 1 || res.LingerUS != 0 {
			t.Errorf("%d records over %d clients, linger %d; want 600, 1, 0", res.Records, res.Clients, res.LingerUS)
		}
		us(t, "p50", res.P50US, 4990*time.Microsecond, 5010*time.Microsecond)
		us(t, "max", res.MaxUS, 5*time.Millisecond, 5*time.Millisecond)
	})
}

func TestRecordsEndARun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster(time.Millisecond)
		c := base(Produce)
		c.Producers, c.Records, c.Duration = 3, 1000, 0
		res, err := runFake(t.Context(), t, f, c)
		if err != nil || res.Records != 1000 || f.handed != 1000 {
			t.Errorf("%d records counted, %d sent, %v; want 1000", res.Records, f.handed, err)
		}
	})
}

func TestConsumeReadsTheTopicAgainUntilTheWindowIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster(time.Millisecond)
		c := base(Consume)
		c.Records, c.Consumers, c.Duration = 1000, 2, 10*time.Millisecond
		res, err := runFake(t.Context(), t, f, c)
		if err != nil || res.Errors != 0 {
			t.Fatalf("%v, %d errors (%s)", err, res.Errors, res.FirstError)
		}
		// A record a microsecond and consumer, published by the 256.
		if res.Records < 18_000 || res.Records > 20_000 || res.P50US != nil {
			t.Errorf("%d records, p50 %v; want nearly 20000 and no latency", res.Records, res.P50US)
		}
	})
}

func TestConsumeNamesRecordsThatAreNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster(time.Millisecond)
		f.short = 3
		c := base(Consume)
		c.Records = 1000
		res, err := runFake(t.Context(), t, f, c)
		if err != nil || res.Errors != 12 || !strings.Contains(res.FirstError, "ended early, at record 988 of 1000") {
			t.Errorf("%d errors (%s), %v; want the 3 of each of 4 partitions", res.Errors, res.FirstError, err)
		}
	})
}

func TestConsumeOfAGivenTopicReadsItOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster(time.Millisecond)
		fill := base(Produce)
		fill.Records, fill.Duration, fill.Topic = 500, 0, "given"
		if _, err := f.CreateTopic(t.Context(), "given", 4, 3, nil); err != nil {
			t.Fatal(err)
		}
		if _, err := runFake(t.Context(), t, f, fill); err != nil {
			t.Fatal(err)
		}
		c := base(Consume)
		c.Topic, c.Records, c.Duration = "given", 1, 0
		res, err := runFake(t.Context(), t, f, c)
		if err != nil || res.Records != 500 {
			t.Errorf("%d records, %v; want the topic's 500", res.Records, err)
		}
	})
}

func TestEndToEndMeasuresFromTheTimeARecordWasDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster(3 * time.Millisecond)
		c := base(EndToEnd)
		c.Rate, c.WarmUp, c.Consumers, c.Producers = 500, time.Second, 2, 2
		res, err := runFake(t.Context(), t, f, c)
		if err != nil || res.Errors != 0 || res.Records != 1500 {
			t.Fatalf("%d records, %d errors (%s), %v; want 1500", res.Records, res.Errors, res.FirstError, err)
		}
		us(t, "p50", res.P50US, 3*time.Millisecond, 3010*time.Microsecond)
	})
}

func TestEndToEndNamesRecordsThatNeverArrive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster(time.Millisecond)
		f.drop = func(n int) bool { return n%100 == 99 }
		c := base(EndToEnd)
		c.Rate, c.Duration = 1000, time.Second
		res, err := runFake(t.Context(), t, f, c)
		if err != nil || res.Records != 990 || res.Errors != 10 || !strings.Contains(res.FirstError, "of the acknowledged records 10 did not reach") {
			t.Errorf("%d records, %d errors (%s), %v; want 990 and 10 missing", res.Records, res.Errors, res.FirstError, err)
		}
	})
}

func TestFailuresAreCountedAndARefusedLoadStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster(time.Millisecond)
		f.fail = func(n int) error {
			if n%10 == 0 {
				return runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_TIMEOUT, "too slow")
			}
			return nil
		}
		c := base(Produce)
		c.Records, c.Duration = 1000, 0
		res, err := runFake(t.Context(), t, f, c)
		if err != nil || res.Records != 900 || res.Errors != 100 || res.FirstError != "too slow" {
			t.Errorf("%d records, %d errors (%s), %v", res.Records, res.Errors, res.FirstError, err)
		}

		f = newFakeCluster(time.Millisecond)
		f.fail = func(int) error {
			return runnelv1.Errorf(runnelv1.ErrorReason_ERROR_REASON_BATCH_TOO_LARGE, "too large")
		}
		res, err = runFake(t.Context(), t, f, c)
		if err != nil || res.Records != 0 || f.handed > f.room+1 {
			t.Errorf("%d records, %d sent, %v; want the run to stop at the first refusal", res.Records, f.handed, err)
		}
	})
}

func TestAnInterruptedRunRemovesItsTopicAndKeepsItsFigures(t *testing.T) {
	for _, m := range []Mode{Produce, Latency, EndToEnd} {
		t.Run(string(m), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				time.AfterFunc(time.Second+time.Microsecond, cancel)
				f := newFakeCluster(time.Millisecond)
				c := base(m)
				c.Rate, c.Duration = 100, time.Hour
				res, err := runFake(ctx, t, f, c)
				if !errors.Is(err, ErrInterrupted) {
					t.Errorf("err = %v, want ErrInterrupted", err)
				}
				if res.Records < 99 || res.Records > 101 || res.RecordsPerSecond < 99 || res.RecordsPerSecond > 102 || res.Errors != 0 {
					t.Errorf("%d records, %v/s, %d errors (%s); want those of the second that ran", res.Records, res.RecordsPerSecond, res.Errors, res.FirstError)
				}
			})
		})
	}
}

func TestProgressIsReportedEachSecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster(10 * time.Millisecond)
		c := base(Produce)
		c.WarmUp, c.Duration = 1500*time.Millisecond, 2*time.Second
		var got []Snapshot
		if _, err := carryOut(t.Context(), f, c, func(s Snapshot) { got = append(got, s) }, timers); err != nil {
			t.Fatal(err)
		}
		if len(got) != 3 {
			t.Fatalf("%d reports, want 3", len(got))
		}
		if got[0].Phase != "warming up" || got[0].RecordsPerSecond < 9_800 {
			t.Errorf("first report: %+v", got[0])
		}
		if s := got[2]; s.Elapsed != 3*time.Second || s.Phase != "measuring" || s.RecordsPerSecond < 9_800 || s.RecordsPerSecond > 10_200 || s.P99 == 0 {
			t.Errorf("third report: %+v", s)
		}
	})
}

func TestBadConfigNamesEveryMistake(t *testing.T) {
	c := Config{Mode: "fast", RecordSize: 0, Producers: 0, Consumers: 0, Partitions: 0, Rate: -1, ReplicationFactor: -1}
	_, err := Run(t.Context(), newFakeCluster(0), c, nil)
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{"mode", "--record-size", "--producers", "--consumers", "--partitions", "--rate", "--replication-factor", "--duration"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not name %s", err, want)
		}
	}
}
