package main

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/runnel-io/runnel/rpc/client"
)

func testRecord() *client.Record {
	return &client.Record{
		Topic: "orders", Partition: 3, Offset: 42, Key: []byte("k"), Value: []byte("v\x00\n"),
		Headers:   []client.Header{{Key: "a", Value: []byte("1")}, {Key: "b"}},
		Timestamp: time.Date(2026, 1, 2, 16, 4, 5, 6e6, time.FixedZone("", 3600)),
	}
}

func TestFormat(t *testing.T) {
	for in, want := range map[string]string{
		"":           "",
		"%v":         "v\x00\n",
		`%t/%p/%o\n`: "orders/3/42\n",
		`%k\t%h`:     "k\ta=1,b=",
		"%d":         "2026-01-02T15:04:05.006Z",
		`%%v 100%%`:  "%v 100%",
		`\\n\0\r`:    "\\n\x00\r",
		"ä%kö":       "äkö",
		`%v%`:        "error: lone",
		`\`:          "error: lone",
		`%x`:         "error: has %x at position 1",
		`ab\q`:       `error: has \q at position 3`,
		"%V":         "error: use %t",
	} {
		f, err := parseFormat(in)
		if msg, isErr := strings.CutPrefix(want, "error: "); isErr {
			if err == nil || !strings.Contains(err.Error(), msg) {
				t.Errorf("%q: error %v, want one with %q", in, err, msg)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q: %v", in, err)
			continue
		}
		if got := string(f.append(nil, testRecord())); got != want {
			t.Errorf("%q prints %q, want %q", in, got, want)
		}
	}
}

// FuzzFormat reads what stands on the command line: a format, which prints whatever is accepted, and a text without % and \ as it is; and the
// other arguments that have a form of their own.
func FuzzFormat(f *testing.F) {
	for _, s := range []string{
		"", "%v", `%t\n`, "%", `\`, "%%", "%k%k", "ä\xff%h", "start", "17", "-5", "@1767366245006", "@2026-01-02T16:04:05.006+01:00", "-9223372036854775808", "4294967299", "=>", `\t`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		rereadArguments(t, s)
		parsed, err := parseFormat(s)
		plain := !strings.ContainsAny(s, `%\`)
		if err != nil {
			if plain {
				t.Errorf("%q was refused: %v", s, err)
			}
			if parsed != nil {
				t.Error("a format and an error")
			}
			return
		}
		got := string(parsed.append([]byte("x"), testRecord()))
		if !strings.HasPrefix(got, "x") || plain && got != "x"+s {
			t.Errorf("%q prints %q", s, got)
		}
		// Escaped once more it prints itself.
		quoted := strings.NewReplacer("%", "%%", `\`, `\\`).Replace(s)
		again, err := parseFormat(quoted)
		if err != nil {
			t.Fatal(err)
		}
		if got := string(again.append(nil, testRecord())); got != s {
			t.Errorf("%q prints %q, want %q", quoted, got, s)
		}
	})
}

// rereadArguments: a place, a delimiter and a number are refused in words that name what was given, or are the same when they are written again.
func rereadArguments(t *testing.T, s string) {
	p, err := parsePlace(s)
	if err != nil && !strings.HasPrefix(err.Error(), "--offset ") {
		t.Errorf("the place %q: %v", s, err)
	}
	if err == nil {
		text := map[placeKind]string{
			atStart: "start", atEnd: "end", atOffset: strconv.FormatInt(p.n, 10), fromEnd: "-" + strconv.FormatInt(p.n, 10), atTime: "@" + strconv.FormatInt(p.t.UnixMilli(), 10),
		}[p.kind]
		again, err := parsePlace(text)
		if err != nil || again.kind != p.kind || again.n != p.n || again.t.UnixMilli() != p.t.UnixMilli() || p.n < 0 {
			t.Errorf("the place %q is %+v, and %q is %+v: %v", s, p, text, again, err)
		}
	}
	d, err := parseDelimiter(s)
	if err != nil && !strings.HasPrefix(err.Error(), "-K ") {
		t.Errorf("the delimiter %q: %v", s, err)
	}
	if err == nil {
		if again, err := parseDelimiter(strings.ReplaceAll(d, `\`, `\\`)); err != nil || again != d || d == "" {
			t.Errorf("the delimiter %q is %q, and then %q: %v", s, d, again, err)
		}
	}
	n, err := number(s, "broker's id", firstBroker, "broker list")
	meant, _ := strconv.ParseInt(s, 10, 64)
	if err != nil && !strings.Contains(err.Error(), "broker list") || err == nil && (n < firstBroker || int64(n) != meant) {
		t.Errorf("the number %q is %d: %v", s, n, err)
	}
}

// FuzzRecordJSON: any record makes one line of valid JSON that carries its bytes.
func FuzzRecordJSON(f *testing.F) {
	f.Add([]byte("key"), []byte("value"), "h", []byte("<&>"))
	f.Add([]byte("\xff"), []byte("\n"), "\xfe", []byte(nil))
	f.Fuzz(func(t *testing.T, key, value []byte, hk string, hv []byte) {
		r := &client.Record{Topic: "t", Key: key, Value: value, Headers: []client.Header{{Key: hk, Value: hv}}}
		line, err := appendJSON(nil, r)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Count(string(line), "\n") != 1 || !strings.HasSuffix(string(line), "\n") {
			t.Fatalf("not one line: %q", line)
		}
		var got recordJSON
		if err := json.Unmarshal(line, &got); err != nil {
			t.Fatal(err)
		}
		if utf8.Valid(value) && value != nil && (got.Value == nil || *got.Value != string(value)) {
			t.Errorf("value %q became %v", value, got.Value)
		}
		if !utf8.Valid(value) && (got.Value != nil || got.ValueBase64 == "") {
			t.Errorf("value %q became %v, %q", value, got.Value, got.ValueBase64)
		}
	})
}

func TestRecordJSON(t *testing.T) {
	r := testRecord()
	r.Key, r.Value = nil, []byte{0xff}
	line, err := appendJSON([]byte("#"), r)
	want := `#{"topic":"orders","partition":3,"offset":42,"timestamp_ms":1767366245006,"key":null,"value":null,"value_base64":"/w==",` +
		`"headers":[{"key":"a","value":"1"},{"key":"b","value":null}]}` + "\n"
	if err != nil || string(line) != want {
		t.Errorf("got  %s%v\nwant %s", line, err, want)
	}
}

func TestParsePlace(t *testing.T) {
	for in, want := range map[string]place{
		"start":                          {kind: atStart},
		"end":                            {kind: atEnd},
		"0":                              {kind: atOffset},
		"17":                             {kind: atOffset, n: 17},
		"-5":                             {kind: fromEnd, n: 5},
		"-0":                             {kind: fromEnd},
		"@0":                             {kind: atTime, t: time.UnixMilli(0)},
		"@1767366245006":                 {kind: atTime, t: time.UnixMilli(1767366245006)},
		"@2026-01-02T15:04:05Z":          {kind: atTime, t: time.UnixMilli(1767366245000)},
		"@2026-01-02T16:04:05.006+01:00": {kind: atTime, t: time.UnixMilli(1767366245006)},
	} {
		got, err := parsePlace(in)
		if err != nil || got.kind != want.kind || got.n != want.n || !got.t.Equal(want.t) {
			t.Errorf("%q is %+v, %v; want %+v", in, got, err, want)
		}
	}
	for _, in := range []string{"", "begin", "1.5", "@", "@-1", "@1969-12-31T23:59:59.999Z", "@tomorrow", "--1", "9223372036854775808", "-9223372036854775808"} {
		if got, err := parsePlace(in); err == nil {
			t.Errorf("%q was accepted as %+v", in, got)
		}
	}
}

func TestParseDelimiter(t *testing.T) {
	for in, want := range map[string]string{":": ":", `\t`: "\t", "=>": "=>", `\\`: `\`, "%": "%"} {
		if got, err := parseDelimiter(in); err != nil || got != want {
			t.Errorf("%q is %q, %v; want %q", in, got, err, want)
		}
	}
	for _, in := range []string{"", `\`, `\x`} {
		if got, err := parseDelimiter(in); err == nil {
			t.Errorf("%q was accepted as %q", in, got)
		}
	}
}

func TestLongNamesAreCutInTablesOnly(t *testing.T) {
	f := newFakeCluster()
	whole, long := strings.Repeat("x", nameWidth), strings.Repeat("y", nameWidth+1)
	for _, name := range []string{whole, long} {
		if r := try(t.Context(), f, "", "topic", "create", name); r.status != 0 {
			t.Fatal(r.err)
		}
	}
	table, js := try(t.Context(), f, "", "topic", "list").out, try(t.Context(), f, "", "topic", "list", "-o", "json").out
	if !strings.Contains(table, whole+" ") || !strings.Contains(table, long[:nameWidth-1]+"… ") || !strings.Contains(js, long) {
		t.Errorf("%s%s", table, js)
	}
}

func TestALoneBackslashIsShownAsOne(t *testing.T) {
	if _, err := parseFormat(`a\`); err == nil || err.Error() != `-f ends with a lone \: double it to print it` {
		t.Errorf("got %v", err)
	}
}
