//go:build !linux

package work

// systemMemory is known on Linux only.
func systemMemory() (resident, slab float64) { return 0, 0 }
