package main

import "testing"

func TestPreviousNamesOneCommit(t *testing.T) {
	c, err := previousCommit(previousFile)
	if err != nil || len(c) < 7 {
		t.Fatalf("%q, %v", c, err)
	}
	if c, err := previousCommit("# only words\n\n"); err == nil {
		t.Errorf("%q", c)
	}
}
