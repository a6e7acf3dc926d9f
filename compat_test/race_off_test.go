//go:build !race

package compat

// bulkSize is how much the bulk tests carry, bytes.
const bulkSize = 256 << 20
