package wire

import (
	"fmt"
	"regexp"
	"strings"
)

// comments are the words that a .proto file has on its elements, by full name: runnel.v1.Error.kind. The file's own, which stand before
// its syntax, are under "".
type comments map[string]string

var (
	opens = regexp.MustCompile(`^(service|message|enum|oneof)\s+(\w+)\s*\{(\s*\})?`)
	rpc   = regexp.MustCompile(`^rpc\s+(\w+)\s*\(`)
	field = regexp.MustCompile(`^(?:repeated\s+|optional\s+)?(?:map<[^>]+>|[\w.]+)\s+(\w+)\s*=\s*\d+`)
	value = regexp.MustCompile(`^(\w+)\s*=\s*\d+\s*;`)
)

// parse reads a .proto file as this repository writes them: one element a line, a comment before it or behind it.
func parse(pkg, text string) (comments, error) {
	c := comments{}
	type scope struct {
		name  string
		named bool // what is in it is named as if it were beside it: of a oneof and, in protobuf, of an enum
	}
	scopes := []scope{{name: pkg}}
	var pending []string
	for n, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if word, ok := strings.CutPrefix(line, "//"); ok {
			pending = append(pending, strings.TrimSpace(word))
			continue
		}
		code, behind, _ := strings.Cut(line, "//")
		code = strings.TrimSpace(code)
		words := pending
		if b := strings.TrimSpace(behind); b != "" {
			words = append(words, b)
		}
		pending = nil
		top := scopes[len(scopes)-1]
		within := top.name
		if top.named {
			within = scopes[len(scopes)-2].name
		}
		note := func(name string) string {
			full := within + "." + name
			if len(words) > 0 {
				c[full] = join(words)
			}
			return full
		}
		switch {
		case code == "":
			if len(c) == 0 && len(words) > 0 { // the file's, which an empty line or its syntax ends
				pending = words
			}
		case strings.HasPrefix(code, "syntax"):
			c[""] = join(words)
		case opens.MatchString(code):
			m := opens.FindStringSubmatch(code)
			full := note(m[2])
			if m[3] == "" {
				scopes = append(scopes, scope{full, m[1] == "oneof" || m[1] == "enum"})
			}
		case rpc.MatchString(code):
			note(rpc.FindStringSubmatch(code)[1])
		case field.MatchString(code) && top.name != pkg:
			note(field.FindStringSubmatch(code)[1])
		case value.MatchString(code):
			note(value.FindStringSubmatch(code)[1])
		case code == "}":
			if len(scopes) == 1 {
				return nil, fmt.Errorf("line %d closes what nothing opened", n+1)
			}
			scopes = scopes[:len(scopes)-1]
		case strings.HasPrefix(code, "package"), strings.HasPrefix(code, "import"), strings.HasPrefix(code, "option"):
		default:
			return nil, fmt.Errorf("line %d is written as no other: %s", n+1, line)
		}
	}
	return c, nil
}

// join makes paragraphs of comment lines; an empty one parts them.
func join(lines []string) string {
	var b strings.Builder
	for i, l := range lines {
		switch {
		case l == "":
			b.WriteString("\n\n")
		case i > 0 && lines[i-1] != "":
			b.WriteString(" " + l)
		default:
			b.WriteString(l)
		}
	}
	return strings.TrimSpace(b.String())
}
