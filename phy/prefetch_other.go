//go:build !amd64 && !arm64

package phy

func prefetchRead(*byte)  {}
func prefetchWrite(*byte) {}
