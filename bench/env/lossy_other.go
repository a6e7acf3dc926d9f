//go:build !linux

package env

import "smolnet/bench/link"

// lossyKernel is for Linux only.
func lossyKernel(Config, *link.Link, string) (*Pair, error) { return makeKernel(Config{}) }
