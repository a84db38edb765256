package main

import (
	"fmt"
	"strings"
)

// block is a fenced block of a page and the marks before it.
type block struct {
	line  int // of its fence, from 1
	lang  string
	text  string
	marks map[string]string
	// want are the lines, from 0, of the text within the block of expected output that follows; to == 0: there is none.
	from, to int
}

// parse finds a page's blocks, in order. A mark belongs to the next block; text between them ends neither. Blocks of expected output
// are not among them.
func parse(page string) ([]*block, error) {
	lines := strings.Split(page, "\n")
	var all []*block
	marks := map[string]string{}
	for i := 0; i < len(lines); i++ {
		line := lines[i]
		if in, ok := strings.CutPrefix(line, "<!-- "); ok {
			if in, ok = strings.CutSuffix(in, " -->"); ok {
				key, value, _ := strings.Cut(in, ":")
				marks[strings.TrimSpace(key)] = strings.TrimSpace(value)
			}
			continue
		}
		lang, ok := strings.CutPrefix(line, "```")
		if !ok {
			continue
		}
		end := i + 1
		for end < len(lines) && lines[end] != "```" {
			end++
		}
		if end == len(lines) {
			return nil, fmt.Errorf("line %d: the block has no end", i+1)
		}
		if lang == "text" {
			if last := lastOf(all); last == nil || last.lang != "sh" || last.to != 0 || len(marks) > 0 {
				return nil, fmt.Errorf("line %d: expected output must follow the commands that print it", i+1)
			}
			all[len(all)-1].from, all[len(all)-1].to = i+1, end
		} else {
			all = append(all, &block{line: i + 1, lang: lang, text: strings.Join(lines[i+1:end], "\n"), marks: marks})
			marks = map[string]string{}
		}
		i = end
	}
	return all, nil
}

func lastOf(all []*block) *block {
	if len(all) == 0 {
		return nil
	}
	return all[len(all)-1]
}

// want gives the expected output of a block.
func (b *block) want(page string) string {
	if b.to == 0 {
		return ""
	}
	return strings.Join(strings.Split(page, "\n")[b.from:b.to], "\n")
}

// replace puts outputs in the place of expected ones, by the block they belong to.
func replace(page string, blocks []*block, got map[*block]string) string {
	lines := strings.Split(page, "\n")
	var out []string
	done := 0 // lines of the page that are in out, or replaced
	for _, b := range blocks {
		text, ran := got[b]
		if !ran || b.to == 0 {
			continue
		}
		out = append(out, lines[done:b.from]...)
		out = append(out, split(text)...)
		done = b.to
	}
	return strings.Join(append(out, lines[done:]...), "\n")
}
