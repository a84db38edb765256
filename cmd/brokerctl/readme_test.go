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
var called = regexp.MustCompile(`(?:^|[\s(` + "`" + `"])(?:bin/)?brokerctl( [a-z-][^\s|;&>#` + "`" + `)'"]*(?: (?:'[^'\n]*'|"[^"\n]*"|[^\s|;&>#` + "`" + `)'"]+))*)`)

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
		for _, c := range commandsIn(string(text), path == filepath.Join(top, "README.md")) {
			found++
			if err := c.parse(); err != nil {
				t.Errorf("%s has `brokerctl %s`: %v", path, c.line, err)
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

// command is a command line without the program's name. One within a sentence may leave its arguments out: "consume prints them".
type command struct {
	line     string
	sentence bool
}

// commandsIn finds command lines, without the program's name: those in blocks of commands and in code within sentences. bare tells that a
// page leaves the program's name out within sentences.
func commandsIn(page string, bare bool) (all []command) {
	add := func(code string, sentence bool) {
		code = regexp.MustCompile(` [12]>`).ReplaceAllString(code, " >")
		for _, m := range called.FindAllStringSubmatch(code, -1) {
			all = append(all, command{strings.TrimSpace(m[1]), sentence})
		}
	}
	fences := regexp.MustCompile("(?ms)^```(\\w*)\n(.*?)^```")
	for _, m := range fences.FindAllStringSubmatch(page, -1) {
		if m[1] == "sh" {
			for line := range strings.Lines(strings.ReplaceAll(m[2], "\\\n", "")) {
				code, _, _ := strings.Cut(line, " #")
				add(code, false)
			}
		}
	}
	page = fences.ReplaceAllString(page, "")
	for _, m := range regexp.MustCompile(`(?m)^    (\S.*)$`).FindAllStringSubmatch(page, -1) {
		code, _, _ := strings.Cut(m[1], " #")
		add(code, false)
	}
	for _, m := range regexp.MustCompile("`([^`\n]+)`").FindAllStringSubmatch(page, -1) {
		add(m[1], true)
		if first, rest, ok := strings.Cut(m[1], " "); bare && ok && rest != "" && isCommand(first) {
			all = append(all, command{m[1], true})
		}
	}
	return all
}

func isCommand(name string) bool {
	for _, c := range commandNames(newRoot(&app{})) {
		if c == name {
			return true
		}
	}
	return false
}

// parse tells whether the program takes a command line as far as that can be told without a cluster.
func (c command) parse() error {
	root := newRoot(&app{}) // flags keep what was parsed
	cmd, args, err := root.Find(words(c.line))
	switch {
	case err != nil:
		return err
	case cmd.HasSubCommands() && len(args) > 0 && !strings.HasPrefix(args[0], "-"):
		return unknownCommand(cmd, args[0])
	}
	if err := cmd.ParseFlags(args); err != nil || c.sentence && cmd.Flags().NArg() == 0 {
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
		all := commandsIn(page, false)
		if len(all) != 1 {
			t.Fatalf("%q has the commands %v", page, all)
		}
		if err := all[0].parse(); (err != nil) != wrong {
			t.Errorf("%q: %v", all[0].line, err)
		}
	}
}
