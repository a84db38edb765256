package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// called is a command line of this program within a text, up to where the shell's part begins. named is one in a page's sentences or blocks
// that the program's name stands before.
var called = regexp.MustCompile(`(?:^|[\s(` + "`" + `"])(?:bin/)?brokerctl((?: (?:'[^'\n]*'|"[^"\n]*"|[^\s|;&>#` + "`" + `)'"]+))+)`)

// TestTheCommandsInThePagesAreThere looks at every command line of brokerctl in the repository's pages, in blocks and in sentences: many
// of them need brokers that are lost or to spare, so that they are run by nothing as they stand there.
func TestTheCommandsInThePagesAreThere(t *testing.T) {
	const top = "../.."
	found := 0
	err := filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != top && (strings.HasPrefix(d.Name(), ".") && d.Name() != ".." || d.Name() == "bin" || d.Name() == "testdata") {
			return fs.SkipDir
		}
		if !strings.HasSuffix(path, ".md") {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, line := range commandsIn(string(text), path == filepath.Join(top, "README.md")) {
			found++
			if err := parses(line); err != nil {
				t.Errorf("%s has `brokerctl %s`: %v", path, line, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if found < 30 {
		t.Fatalf("%d commands are found: is this still how they are written?", found)
	}
}

// commandsIn finds command lines, without the program's name: those in blocks of commands and in code within sentences. bare tells that a
// page leaves the program's name out within sentences.
func commandsIn(page string, bare bool) (lines []string) {
	add := func(code string) {
		code = regexp.MustCompile(` [12]>`).ReplaceAllString(code, " >")
		for _, m := range called.FindAllStringSubmatch(code, -1) {
			lines = append(lines, strings.TrimSpace(m[1]))
		}
	}
	fences := regexp.MustCompile("(?ms)^```(\\w*)\n(.*?)^```")
	for _, m := range fences.FindAllStringSubmatch(page, -1) {
		if m[1] == "sh" {
			for line := range strings.Lines(strings.ReplaceAll(m[2], "\\\n", "")) {
				code, _, _ := strings.Cut(line, " #")
				add(code)
			}
		}
	}
	page = fences.ReplaceAllString(page, "")
	for _, m := range regexp.MustCompile(`(?m)^    (\S.*)$`).FindAllStringSubmatch(page, -1) {
		code, _, _ := strings.Cut(m[1], " #")
		add(code)
	}
	for _, m := range regexp.MustCompile("`([^`\n]+)`").FindAllStringSubmatch(page, -1) {
		add(m[1])
		if first, rest, ok := strings.Cut(m[1], " "); bare && ok && rest != "" && isCommand(first) {
			lines = append(lines, m[1])
		}
	}
	return lines
}

func isCommand(name string) bool {
	for _, c := range commandNames(newRoot(&app{})) {
		if c == name {
			return true
		}
	}
	return false
}

// parses tells whether the program takes a command line as far as that can be told without a cluster.
func parses(line string) error {
	root := newRoot(&app{}) // flags keep what was parsed
	cmd, args, err := root.Find(words(line))
	switch {
	case err != nil:
		return err
	case cmd.HasSubCommands() && len(args) > 0 && !strings.HasPrefix(args[0], "-"):
		return unknownCommand(cmd, args[0])
	}
	if len(args) == 0 && cmd != root {
		return nil // a sentence names it, as in "brokerctl consume prints them"
	}
	if err := cmd.ParseFlags(args); err != nil {
		return err
	}
	return cmd.ValidateArgs(cmd.Flags().Args())
}

// words splits a line as a shell does, as far as these pages go.
func words(line string) (out []string) {
	for _, m := range regexp.MustCompile(`(?:'[^']*'|"[^"]*"|[^\s'"])+`).FindAllString(line, -1) {
		out = append(out, strings.NewReplacer("'", "", `"`, "").Replace(m))
	}
	return out
}

func TestAWrongCommandInAPageIsFound(t *testing.T) {
	for page, wrong := range map[string]bool{
		"Ask with `brokerctl topic list`.":                                                          false,
		"Ask with `brokerctl topic lst`.":                                                           true,
		"Ask with `brokerctl topic list --nothing`.":                                                true,
		"```sh\nuntil bin/brokerctl broker list 2> /dev/null | grep -q x; do sleep 1; done\n```\n":  false,
		"```sh\nuntil bin/brokerctl broker lists 2> /dev/null | grep -q x; do sleep 1; done\n```\n": true,
		"```sh\nbrokerctl partition recover orders 0 --note 'rack b burnt down' # and so on\n```\n": false,
		"```sh\nbrokerctl broker drain --wait\n```\n":                                               true,
		"Text:\n\n    brokerctl cluster state\n":                                                    true,
	} {
		lines := commandsIn(page, false)
		if len(lines) != 1 {
			t.Fatalf("%q has the commands %q", page, lines)
		}
		if err := parses(lines[0]); (err != nil) != wrong {
			t.Errorf("%q: %v", lines[0], err)
		}
	}
}
