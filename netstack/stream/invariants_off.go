//go:build !invariants

package stream

// invariants says that a broken invariant panics instead of being survived.
const invariants = false
