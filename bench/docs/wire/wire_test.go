package wire

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var rewrite = flag.Bool("rewrite", false, "write the page anew")

func TestThePageSaysWhatTheProtoFilesSay(t *testing.T) {
	root := filepath.Join("..", "..", "..")
	file := filepath.Join(root, "proto", "README.md")
	was, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want, err := Page(root, string(was))
	if err != nil {
		t.Fatal(err)
	}
	if want == string(was) {
		return
	}
	if !*rewrite {
		t.Fatalf("%s is stale: make proto writes it anew", file)
	}
	if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestCommentsAreFoundBesideTheirElements(t *testing.T) {
	c, err := parse("p", "// The file.\n//\n// More of it.\nsyntax = \"proto3\";\n\npackage p;\n\n// A service.\nservice S {\n  // Does it.\n  // Twice.\n  rpc Do(Q) returns (A);\n"+
		"  rpc Not(Q) returns (A) {}\n}\n\nmessage Q {}\nmessage A {\n  // One.\n  repeated string one = 1;\n  oneof at {\n    // Two.\n    bool two = 2; // or not\n  }\n  map<string, x.Y> three = 3; // Three.\n"+
		"}\nenum E {\n  E_A = 0;\n  E_B = 1;   // definite: b\n}\n")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"": "The file.\n\nMore of it.", "p.S": "A service.", "p.S.Do": "Does it. Twice.", "p.S.Not": "", "p.Q": "", "p.A.one": "One.", "p.A.two": "Two. or not", "p.A.three": "Three.",
		"p.E_A": "", "p.E_B": "definite: b",
	} {
		if c[name] != want {
			t.Errorf("%q has the words %q, want %q", name, c[name], want)
		}
	}
	for _, broken := range []string{"}\n", "package p;\nwhatever this is\n"} {
		if _, err := parse("p", broken); err == nil {
			t.Errorf("%q is read", broken)
		}
	}
}

func TestAnErrorWhoseCommentLiesAboutItsKindIsFound(t *testing.T) {
	p := &page{words: comments{"runnel.v1.ERROR_REASON_UNKNOWN_TOPIC": "retriable: no such topic"}}
	p.reasons()
	if !strings.Contains(strings.Join(p.mute, "\n"), `UNKNOWN_TOPIC: its comment says "retriable: no such topic" and brokers send it as definite`) {
		t.Errorf("%v", p.mute)
	}
}
