// Package repo holds no code, only tests that guard the tree itself: which package may import which, how long a file may
// grow, that every rule in scope has a test, and that the README's commands and examples are the ones that are run.
package repo
