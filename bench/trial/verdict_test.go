package trial

import (
	"testing"
	"time"

	"github.com/runnel-io/runnel/bench/check"
)

func TestTheLongestWaitIsOfTheSpanAndOfThePartitionsAskedFor(t *testing.T) {
	const s = time.Second
	v := Verdict{appends: []check.Append{
		{Partition: 0, Invoke: 1 * s, Return: 9 * s, Outcome: check.Info}, // never acknowledged
		{Partition: 0, Invoke: 1 * s, Return: 6 * s, Outcome: check.OK},   // answered before the span
		{Partition: 0, Invoke: 9 * s, Return: 12 * s, Outcome: check.OK},  // was waiting when the span began
		{Partition: 1, Invoke: 11 * s, Return: 16 * s, Outcome: check.OK},
		{Partition: 0, Invoke: 20 * s, Return: 29 * s, Outcome: check.OK}, // sent after it
	}}
	if w := v.Longest(10*s, 20*s, Any); w != (Wait{5 * s, 0, 1, 11 * s}) {
		t.Errorf("of all: %+v", w)
	}
	if w := v.Longest(10*s, 20*s, func(p int32) bool { return p == 0 }); w != (Wait{3 * s, 0, 0, 9 * s}) {
		t.Errorf("of partition 0: %+v", w)
	}
}
