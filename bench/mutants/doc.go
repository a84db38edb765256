// Command mutants seeds bugs into the product, one at a time, and sees that each layer of tests finds those it has to find. A
// layer that does not catch its own seeded bug is broken.
//
// entries.go is the table: for each bug of package mutant the layer that must find it and the invariants of which a violation
// counts. The layers' programs are built once, with the tag "mutants"; the environment variable MUTANT chooses. A bug is caught
// if the same run is green without it, and red with it by a violation that the entry names. A harness that crashes, a time-out, or a panic of the
// product (where that is not what the entry asks for) catch nothing.
//
// The last line is "caught N of N"; the exit status is 1 if that is not all of them.
package main
