//go:build race

package load

// raceDetector: sync.Pool drops values at random under it.
const raceDetector = true
