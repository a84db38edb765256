package svg

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
	"time"
)

func chart(log bool, values ...float64) Chart {
	from := time.Unix(1000, 0)
	c := Chart{Title: "Bytes & <more>", Note: "real data", Unit: Plain("records/s"), Log: log, From: from, To: from.Add(time.Minute), Lines: []Line{{Name: "broker 1"}, {Name: "broker 2"}}}
	for i, v := range values {
		c.Lines[0].Points = append(c.Lines[0].Points, Point{from.Add(time.Duration(i) * time.Second), v})
	}
	return c
}

func drawn(t *testing.T, c Chart) string {
	t.Helper()
	var b bytes.Buffer
	if err := c.Write(&b); err != nil {
		t.Fatal(err)
	}
	for d := xml.NewDecoder(strings.NewReader(b.String())); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return b.String()
		} else if err != nil {
			t.Fatalf("no XML: %v\n%s", err, b.String())
		}
	}
}

func TestTheHighestValueIsAtTheTopAndZeroAtTheBottom(t *testing.T) {
	text := drawn(t, chart(false, 0, 5, 10))
	if want := `d="M70.0 304.0L82.6 194.0L95.1 84.0"`; !strings.Contains(text, want) {
		t.Errorf("no %s in\n%s", want, text)
	}
	for _, want := range []string{">0</text>", ">10</text>", "Bytes &amp; &lt;more&gt;", "prefers-color-scheme: dark", ">records/s</text>", ">broker 2</text>", ">1:00</text>"} {
		if !strings.Contains(text, want) {
			t.Errorf("the picture has no %s", want)
		}
	}
}

func TestALineBreaksWhereNothingIsKnown(t *testing.T) {
	c := chart(false, 1, 1)
	c.Lines[0].Points = append(c.Lines[0].Points, Point{c.From.Add(time.Second + Gap), 2}, Point{c.From.Add(20 * time.Second), 3})
	if n := strings.Count(drawn(t, c), "M"); n != 1+1+strings.Count(drawn(t, chart(false)), "M") {
		t.Errorf("%d pieces, want two", n)
	}
}

func TestPowersOfTen(t *testing.T) {
	c := chart(true, 0, 0.002, 0.5)
	c.Unit = Seconds()
	text := drawn(t, c)
	for _, want := range []string{">1 ms<", ">10 ms<", ">100 ms<", ">1 s<"} {
		if !strings.Contains(text, want) {
			t.Errorf("no tick %s", want)
		}
	}
}

func TestMarksAreNumberedAndNamed(t *testing.T) {
	c := chart(false, 1)
	c.Marks = []Mark{{c.From.Add(time.Second), "a broker is killed"}, {c.From.Add(2 * time.Second), "it is back"}}
	text := drawn(t, c)
	if !strings.Contains(text, "1 a broker is killed · 2 it is back") || strings.Count(text, `class="mark"`) != 2 {
		t.Errorf("marks are missing in\n%s", text)
	}
}

func TestUnits(t *testing.T) {
	for got, want := range map[string]string{
		Bytes("").Format(3 << 20): "3 MiB", Bytes("").Format(0): "0 B", Plain("").Format(12500): "12.5k", Seconds().Format(0.25): "250 ms", Seconds().Format(2): "2 s",
		Seconds().Format(0.00005): "50 µs", Percent().Format(0.5): "50%", Plain("").Format(0.1 + 0.2): "0.3",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
