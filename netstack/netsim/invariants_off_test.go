//go:build !invariants

package netsim_test

const invariants = false
