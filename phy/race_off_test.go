//go:build !race

package phy_test

// often returns how many times to do what is done n times to meet rare moments.
func often(n int) int { return n }
