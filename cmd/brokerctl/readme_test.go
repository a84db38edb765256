package main

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// Continuous integration types the README's blocks; what stands in its sentences needs brokers that are lost or to spare, so only
// that there are such commands is looked at.
func TestTheCommandsInTheReadmesSentencesAreThere(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	root := newRoot(&app{})
	spans := regexp.MustCompile("`((?:"+strings.Join(commandNames(root), "|")+") [^`\n]+)`").FindAllStringSubmatch(string(text), -1)
	if len(spans) < 5 {
		t.Fatalf("%d commands are found: is this still how they are written?", len(spans))
	}
	for _, m := range spans {
		root := newRoot(&app{}) // flags keep what was parsed
		cmd, args, err := root.Find(strings.Fields(m[1]))
		if err == nil && cmd.HasSubCommands() {
			err = unknownCommand(cmd, args[0])
		}
		if err == nil {
			err = cmd.ParseFlags(args)
		}
		if err == nil {
			err = cmd.ValidateArgs(cmd.Flags().Args())
		}
		if err != nil {
			t.Errorf("the README has `%s`: %v", m[1], err)
		}
	}
}
