// Package linear has porcupine, a checker of linearizability that knows nothing of offsets' order in advance, judge windows of a
// history. It cross-checks package check, whose verdict is about the whole, and draws a window as an HTML page.
//
// A window is a run of offsets of one partition: the appends that got them, acknowledged or found there, and the answers to "where does it
// end?" within it. The model is a log that knows how long it is: an append at an offset is possible when the log ends there, an end
// is right when it is the length at that moment. A part of a linearizable history with the length that it began with is
// linearizable too, so every window must be.
//
// Unknown, a time-out, is never a pass.
package linear

import (
	"cmp"
	"fmt"
	"math"
	"os"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/runnel-io/runnel/bench/check"
)

const (
	// MaxOperations bounds a window. porcupine took 0.4 s for 8 clients with 30,000 operations and did not end for 32 with 20,000.
	MaxOperations = 2000
	patience      = 20 * time.Second
)

// input is what a client asked for: an append that got an offset, or an end.
type input struct {
	value string // "": an end
}

// Window is a part of a history.
type Window struct {
	Partition int32
	From      int64 // the offset of its first append
	ops       []porcupine.Operation
}

// Operations is how many there are.
func (w Window) Operations() int { return len(w.ops) }

// Windows cuts a history into windows of at most size operations each. Appends below a log start are left out, as nobody knows all of
// them.
func Windows(h check.History, size int) []Window {
	byPartition := map[int32][]porcupine.Operation{}
	known := map[string]int64{}
	for p, l := range h.Final {
		for i, value := range l.Values {
			known[fmt.Sprint(p, " ", value)] = l.Start + int64(i)
		}
	}
	clients := map[int]int{}
	number := func(client int) int {
		if _, ok := clients[client]; !ok {
			clients[client] = len(clients)
		}
		return clients[client]
	}
	for _, a := range h.Appends {
		op := porcupine.Operation{ClientId: number(a.Client), Input: input{a.Value()}, Call: int64(a.Invoke), Return: int64(a.Return), Output: a.Offset}
		switch a.Outcome {
		case check.Fail:
			continue
		case check.Info: // it took effect at some time, or never
			at, ok := known[fmt.Sprint(a.Partition, " ", a.Value())]
			if !ok {
				continue
			}
			op.Return, op.Output = math.MaxInt64, at
		}
		if op.Output.(int64) >= h.Final[a.Partition].Start {
			byPartition[a.Partition] = append(byPartition[a.Partition], op)
		}
	}
	for _, e := range h.Ends {
		if e.Return > 0 && e.Offset >= h.Final[e.Partition].Start {
			byPartition[e.Partition] = append(byPartition[e.Partition], porcupine.Operation{
				ClientId: number(e.Client), Input: input{}, Call: int64(e.Invoke), Return: int64(e.Return), Output: e.Offset,
			})
		}
	}
	var out []Window
	for p, ops := range byPartition {
		// An end at an offset comes before the append that got it.
		slices.SortStableFunc(ops, func(a, b porcupine.Operation) int {
			return cmp.Or(cmp.Compare(a.Output.(int64), b.Output.(int64)), cmp.Compare(a.Input.(input).value, b.Input.(input).value))
		})
		for chunk := range slices.Chunk(ops, size) {
			out = append(out, Window{Partition: p, From: chunk[0].Output.(int64), ops: chunk})
		}
	}
	slices.SortFunc(out, func(a, b Window) int {
		return cmp.Or(cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.From, b.From))
	})
	return out
}

// Around is the window with an offset, if there is one.
func Around(ws []Window, p int32, offset int64) (Window, bool) {
	best, ok := Window{}, false
	for _, w := range ws {
		if w.Partition == p && (w.From <= offset || !ok) {
			best, ok = w, true
		}
	}
	return best, ok
}

// Check says whether a window is linearizable: nil, or why not.
func (w Window) Check() error {
	switch porcupine.CheckOperationsTimeout(w.model(), w.ops, patience) {
	case porcupine.Ok:
		return nil
	case porcupine.Illegal:
		return fmt.Errorf("porcupine: partition %d is not linearizable in the %d operations from offset %d on", w.Partition, len(w.ops), w.From)
	default:
		return fmt.Errorf("porcupine: partition %d: unknown within %s for the %d operations from offset %d on", w.Partition, patience, len(w.ops), w.From)
	}
}

// Draw writes the window as an HTML page.
func (w Window) Draw(path string) error {
	_, info := porcupine.CheckOperationsVerbose(w.model(), w.ops, patience)
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := porcupine.Visualize(w.model(), info, f); err != nil {
		return err
	}
	return f.Close()
}

// model is a log that is as long as the window begins. A value that comes again does not fit: its offset is another's.
func (w Window) model() porcupine.Model {
	return porcupine.Model{
		Init: func() any { return w.From },
		Step: func(state, in, out any) (bool, any) {
			length, at := state.(int64), out.(int64)
			if in.(input).value == "" {
				return at == length, length
			}
			return at == length, length + 1
		},
		DescribeOperation: func(in, out any) string {
			if in.(input).value == "" {
				return fmt.Sprintf("end? %d", out)
			}
			return fmt.Sprintf("%s at %d", in.(input).value, out)
		},
		DescribeState: func(state any) string { return fmt.Sprintf("%d records", state) },
	}
}
