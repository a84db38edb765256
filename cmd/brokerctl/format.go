package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/runnel-io/runnel/rpc/client"
)

// dateLayout is RFC 3339 with the milliseconds that a record's timestamp has.
const dateLayout = "2006-01-02T15:04:05.000Z07:00"

// format is a parsed -f: literal text and record fields in turn.
type format []formatPart

type formatPart struct {
	literal string
	field   byte // 0: the literal
}

// parseFormat reads a record format. Fields: %t topic, %p partition, %o offset, %k key, %v value, %h headers
// (k=v,k=v), %d time (UTC, RFC 3339), %% a percent sign. Escapes: \n \t \r \0 \\.
func parseFormat(s string) (format, error) {
	var f format
	var lit strings.Builder
	flush := func() {
		if lit.Len() > 0 {
			f = append(f, formatPart{literal: lit.String()})
			lit.Reset()
		}
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c != '%' && c != '\\' {
			lit.WriteByte(c)
			continue
		}
		if i++; i == len(s) {
			return nil, fmt.Errorf("-f ends with a lone %c: double it to print it", c)
		}
		if c == '\\' {
			b, ok := unescape(s[i])
			if !ok {
				return nil, fmt.Errorf(`-f has \%c at position %d: use \n \t \r \0 or \\`, s[i], i)
			}
			lit.WriteByte(b)
			continue
		}
		switch s[i] {
		case '%':
			lit.WriteByte('%')
		case 't', 'p', 'o', 'k', 'v', 'h', 'd':
			flush()
			f = append(f, formatPart{field: s[i]})
		default:
			return nil, fmt.Errorf("-f has %%%c at position %d: use %%t %%p %%o %%k %%v %%h %%d or %%%%", s[i], i)
		}
	}
	flush()
	return f, nil
}

func unescape(c byte) (byte, bool) {
	switch c {
	case 'n':
		return '\n', true
	case 't':
		return '\t', true
	case 'r':
		return '\r', true
	case '0':
		return 0, true
	case '\\':
		return '\\', true
	}
	return 0, false
}

// parseDelimiter reads -K: any text, with the escapes of parseFormat.
func parseDelimiter(s string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			b.WriteByte(s[i])
			continue
		}
		if i++; i == len(s) {
			return "", fmt.Errorf(`-K ends with a lone \: double it`)
		}
		c, ok := unescape(s[i])
		if !ok {
			return "", fmt.Errorf(`-K has \%c: use \n \t \r \0 or \\`, s[i])
		}
		b.WriteByte(c)
	}
	if b.Len() == 0 {
		return "", fmt.Errorf("-K is empty: give the text between key and value, such as a colon")
	}
	return b.String(), nil
}

// append appends the record's text to dst. A null key or value prints as nothing.
func (f format) append(dst []byte, r *client.Record) []byte {
	for _, p := range f {
		switch p.field {
		case 0:
			dst = append(dst, p.literal...)
		case 't':
			dst = append(dst, r.Topic...)
		case 'p':
			dst = strconv.AppendInt(dst, int64(r.Partition), 10)
		case 'o':
			dst = strconv.AppendInt(dst, r.Offset, 10)
		case 'k':
			dst = append(dst, r.Key...)
		case 'v':
			dst = append(dst, r.Value...)
		case 'h':
			for i, h := range r.Headers {
				if i > 0 {
					dst = append(dst, ',')
				}
				dst = append(dst, h.Key...)
				dst = append(dst, '=')
				dst = append(dst, h.Value...)
			}
		case 'd':
			dst = r.Timestamp.UTC().AppendFormat(dst, dateLayout)
		}
	}
	return dst
}

// recordJSON is a line of `consume -o json`. Bytes that are not UTF-8 stand in the base64 field instead, and the plain
// one is null.
type recordJSON struct {
	Topic       string       `json:"topic"`
	Partition   int32        `json:"partition"`
	Offset      int64        `json:"offset"`
	TimestampMS int64        `json:"timestamp_ms"`
	Key         *string      `json:"key"`
	KeyBase64   string       `json:"key_base64,omitempty"`
	Value       *string      `json:"value"`
	ValueBase64 string       `json:"value_base64,omitempty"`
	Headers     []headerJSON `json:"headers"`
}

type headerJSON struct {
	Key         string  `json:"key"`
	Value       *string `json:"value"`
	ValueBase64 string  `json:"value_base64,omitempty"`
}

// appendJSON appends the record as one line.
func appendJSON(dst []byte, r *client.Record) ([]byte, error) {
	j := recordJSON{
		Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, TimestampMS: r.Timestamp.UnixMilli(),
		Headers: make([]headerJSON, len(r.Headers)),
	}
	j.Key, j.KeyBase64 = jsonBytes(r.Key)
	j.Value, j.ValueBase64 = jsonBytes(r.Value)
	for i, h := range r.Headers {
		j.Headers[i].Key = h.Key
		j.Headers[i].Value, j.Headers[i].ValueBase64 = jsonBytes(h.Value)
	}
	w := appender{dst}
	enc := json.NewEncoder(&w)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(j); err != nil {
		return dst, err
	}
	return w.b, nil
}

func jsonBytes(b []byte) (plain *string, base string) {
	switch {
	case b == nil:
		return nil, ""
	case utf8.Valid(b):
		s := string(b)
		return &s, ""
	}
	return nil, base64.StdEncoding.EncodeToString(b)
}

type appender struct{ b []byte }

func (a *appender) Write(p []byte) (int, error) {
	a.b = append(a.b, p...)
	return len(p), nil
}
