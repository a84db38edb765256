// Package svg draws line charts as SVG files that a README can show: one file, no script, no font of its own, and colours that follow the
// reader's light or dark page. Lines differ by colour and by dashes. Marks are moments at which something was done, numbered in the picture and
// named below it.
//
// The picture is a function of the Chart: the same chart gives the same bytes.
//
// Callers: bench/observe.
package svg
