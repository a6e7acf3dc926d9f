//go:build !linux

package netstack

import "crypto/rand"

// systemRandom reads the operating system's random number generator.
type systemRandom struct{}

func (systemRandom) Read(b []byte) (int, error) { return rand.Read(b) }
