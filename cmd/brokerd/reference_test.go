package main

import (
	"flag"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/runnel-io/runnel/cmd/brokerd/broker"
	"github.com/runnel-io/runnel/cmd/brokerd/value"
	"github.com/runnel-io/runnel/partition"
)

var rewrite = flag.Bool("rewrite", false, "write deploy/CONFIGURATION.md anew")

const referencePage = "../../deploy/CONFIGURATION.md"

// referenceHead is what the page says before the tables.
const referenceHead = `# Configuration

This page is made of the tables in cmd/brokerd/settings.go and partition/settings.go by ` + "`go test ./cmd/brokerd -run TestTheReferencePage -rewrite`" + `;
a test fails when it is stale.

## Settings of a broker

Each setting is a key of the YAML file given by ` + "`--config`" + `, a variable and a flag. A flag goes before a variable, a variable before the file, the
file before the default. In the file ` + "`data.dir: x`" + ` and ` + "`data: {dir: x}`" + ` are the same. An unknown key is an error.

` + "`brokerd --print-config`" + ` prints the settings in force, ` + "`brokerd check-config`" + ` says what is wrong with them without starting anything.

A change takes effect:

| Takes effect | When |
|---|---|
| restart | at the broker's next start |
| runtime | at once when it is set by ` + "`brokerctl cluster config set`" + ` for all brokers, or by ` + "`brokerctl broker config set`" + ` for one; a change of the file, at the next start |
| file | within seconds when the file that it names changes; another name, at the next start |

What is set at run time is kept by the cluster's controller: it goes before the file, the variable and the flag, and one broker's value goes before that
of the cluster. It survives restarts, and a broker that joins has it too. ` + "`brokerctl broker config list ID`" + ` shows each value in force and where it is from:
` + "`default`, `file`, `variable`, `flag`, `cluster` or `broker`" + `. Settings marked *cluster* have one value for the whole cluster: the broker that leads the
controller goes by it, so give all brokers the same one in their files. Each change is a line in the log of that broker, with the old and the new value
and who made it, and an entry in the controller's log.

A release without settings at run time cannot read the command that sets them. While a member runs one, the controller refuses to set any. Once one
was set there is no way back to such a release: it stops its replica of the controller and says so (deploy/VERSIONS.md).

`

// topicHead is what it says before the topics' table.
const topicHead = `
## Settings of a topic

Set by ` + "`brokerctl topic create --config NAME=VALUE`" + ` and changed by ` + "`brokerctl topic alter --config NAME=VALUE`" + `, or back to the default by ` + "`--delete-config NAME`" + `.
Names are Kafka's where Kafka has the setting. A change takes effect at once, on every replica.

`

// reference makes the page.
func reference() string {
	var b strings.Builder
	b.WriteString(referenceHead)
	b.WriteString("| Key, flag, variable | What it is | Value | Default | Least | Greatest | Takes effect |\n|---|---|---|---|---|---|---|\n")
	for _, s := range settings {
		holds := s.kind.Type
		if u := s.kind.Unit(); u != "" {
			holds = u
		}
		least, greatest := s.kind.Bounds()
		takes := string(s.takes)
		if whole, _ := broker.ChangesAtRuntime(s.key); whole {
			takes += ", *cluster*"
		}
		row(&b, fmt.Sprintf("`%s` `--%s` `%s`", s.key, flagName(s.key), envName(s.key)), s.help, holds, quoted(defaultOf(s)), quoted(least), quoted(greatest), takes)
	}
	b.WriteString(topicHead)
	b.WriteString("| Name | What it is | Value | Default | Least | Greatest |\n|---|---|---|---|---|---|\n")
	for _, s := range partition.SettingDocs() {
		row(&b, "`"+s.Name+"`", s.Help, s.Value, quoted(s.Default), quoted(s.Least), quoted(s.Greatest))
	}
	return b.String()
}

func row(b *strings.Builder, cells ...string) {
	for _, c := range cells {
		fmt.Fprintf(b, "| %s ", strings.ReplaceAll(c, "|", "\\|"))
	}
	b.WriteString("|\n")
}

func quoted(s string) string {
	if s == "" {
		return ""
	}
	return "`" + s + "`"
}

func defaultOf(s setting) string {
	switch d := s.value.(type) {
	case int64:
		return value.ShortBytes(d)
	case time.Duration:
		return d.String()
	case []string:
		return strings.Join(d, ",")
	}
	return fmt.Sprint(s.value)
}

func TestTheReferencePageIsMadeOfTheSettings(t *testing.T) {
	want := reference()
	if *rewrite {
		if err := os.WriteFile(referencePage, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(referencePage)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Fatalf("deploy/CONFIGURATION.md is stale: go test ./cmd/brokerd -run %s -rewrite", t.Name())
	}
}

// What the table says is what is accepted: the default, the bounds and nothing beyond them.
func TestTheTableSaysWhatIsAccepted(t *testing.T) {
	for _, s := range settings {
		if _, changes := broker.ChangesAtRuntime(s.key); changes != (s.takes == runtime) {
			t.Errorf("%s is said to take effect at %s", s.key, s.takes)
		}
		if s.kind.Type == "" || s.help == "" || s.takes == "" {
			t.Errorf("%s has a line that lacks something: %+v", s.key, s)
		}
		if err := accepted(t, s.key, fmt.Sprint(defaultOf(s))); err != nil {
			t.Errorf("%s: the default is refused: %v", s.key, err)
		}
		least, greatest := s.kind.Bounds()
		for _, bound := range []string{least, greatest} {
			if bound == "" {
				continue
			}
			if err := accepted(t, s.key, bound); err != nil {
				t.Errorf("%s: the bound %s is refused: %v", s.key, bound, err)
			}
		}
		for _, beyond := range beyond(s.kind) {
			if err := accepted(t, s.key, beyond); err == nil {
				t.Errorf("%s: %s is accepted, beyond %s and %s", s.key, beyond, least, greatest)
			} else if !strings.Contains(err.Error(), s.key) && !strings.Contains(err.Error(), "--"+flagName(s.key)) {
				t.Errorf("%v does not name %s", err, s.key)
			}
		}
	}
}

// beyond gives values that are just outside of a kind.
func beyond(k value.Kind) []string {
	switch {
	case reflect.DeepEqual(k, value.Switch):
		return []string{"perhaps"}
	case len(k.Words) > 0:
		return []string{"none of them"}
	case k.Type == value.Bytes(0).Type && k.Least > 0:
		return []string{fmt.Sprint(k.Least - 1)}
	case k.Type == value.Duration(0).Type && k.Least > 0:
		return []string{time.Duration(k.Least - 1).String()}
	case k.Type == value.Number(0, 0).Type:
		return []string{fmt.Sprint(k.Least - 1), fmt.Sprint(k.Greatest + 1)}
	}
	return nil
}

// accepted reads one flag as main does.
func accepted(t *testing.T, key, text string) error {
	t.Helper()
	c := &cobra.Command{}
	addFlags(c.Flags())
	if err := c.Flags().Parse([]string{"--" + flagName(key) + "=" + text}); err != nil {
		return err
	}
	v, _, err := load(c.Flags(), "", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := config(v); err != nil {
		return err
	}
	_, err = logger(v, &strings.Builder{})
	return err
}
