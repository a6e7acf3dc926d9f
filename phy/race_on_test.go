//go:build race

package phy_test

// often returns how many times to do what is done n times to meet rare moments:
// fewer with the race detector, under which each takes several times as long. The
// detector finds in the first of them what it would find in the last.
func often(n int) int { return n / 5 }
