package svg

import (
	"math"
	"strconv"
)

// Unit is how values are written.
type Unit struct {
	Name   string // stands above the axis
	Format func(float64) string
	Binary bool // steps are powers of two
}

// Plain are numbers.
func Plain(name string) Unit {
	return Unit{Name: name, Format: func(v float64) string { return scaled(v, 1000, []string{"", "k", "M", "G", "T"}) }}
}

// Bytes are bytes, by 1024.
func Bytes(name string) Unit {
	return Unit{Name: name, Binary: true, Format: func(v float64) string {
		return scaled(v, 1024, []string{" B", " KiB", " MiB", " GiB", " TiB"})
	}}
}

// Seconds are times.
func Seconds() Unit {
	return Unit{Name: "time", Format: func(v float64) string {
		switch {
		case v == 0:
			return "0"
		case v < 1e-3:
			return number(v*1e6) + " µs"
		case v < 1:
			return number(v*1e3) + " ms"
		}
		return number(v) + " s"
	}}
}

// Percent is a share; 1 is all.
func Percent() Unit {
	return Unit{Name: "share", Format: func(v float64) string { return number(v*100) + "%" }}
}

func scaled(v, by float64, names []string) string {
	i := 0
	for ; math.Abs(v) >= by && i+1 < len(names); i++ {
		v /= by
	}
	return number(v) + names[i]
}

func number(v float64) string {
	return strconv.FormatFloat(math.Round(v*1000)/1000, 'f', -1, 64)
}

// ticks are the values on the axis, from the lowest to the highest that is drawn.
func (c Chart) ticks() []float64 {
	low, high := math.Inf(1), 0.0
	for _, l := range c.Lines {
		for _, p := range l.Points {
			if c.Log && p.Value <= 0 {
				continue
			}
			low, high = min(low, p.Value), max(high, p.Value)
		}
	}
	if c.Log && high > 0 {
		from, to := math.Floor(math.Log10(low)), math.Ceil(math.Log10(high))
		if from == to {
			to++
		}
		var out []float64
		for e := from; e <= to; e++ {
			out = append(out, math.Pow(10, e))
		}
		return out
	}
	if high == 0 {
		high = 1
	}
	step := c.step(high / 5)
	var out []float64
	for i := 0.0; ; i++ {
		out = append(out, i*step)
		if i*step >= high*(1-1e-9) {
			return out
		}
	}
}

// step is the next round number from a step on.
func (c Chart) step(least float64) float64 {
	if c.Unit.Binary && least >= 1 {
		return math.Pow(2, math.Ceil(math.Log2(least)))
	}
	ten := math.Pow(10, math.Floor(math.Log10(least)))
	for _, m := range []float64{1, 2, 5} {
		if m*ten >= least*(1-1e-9) {
			return m * ten
		}
	}
	return 10 * ten
}
