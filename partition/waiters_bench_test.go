package partition

import (
	"fmt"
	"testing"
)

// BenchmarkWaitersFire is what a move of the high watermark costs those who wait for it: so many come, all are called.
func BenchmarkWaitersFire(b *testing.B) {
	for _, n := range []int{1, 100} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var w waiters
			fired := 0
			all := make([]waiter, n)
			for i := range all {
				all[i].f = func() { fired++ }
			}
			var hw int64
			b.ReportAllocs()
			for b.Loop() {
				for i := range all {
					all[i].offset = hw
					if !w.add(&all[i]) {
						b.Fatal("the waiters are closed")
					}
				}
				hw++
				w.fire(hw)
			}
			if fired != n*int(hw) {
				b.Fatalf("%d calls of %d", fired, n*int(hw))
			}
		})
	}
}
