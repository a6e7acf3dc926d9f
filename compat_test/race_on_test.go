//go:build race

package compat

// bulkSize is how much the bulk tests carry, bytes: less where every memory
// access is watched.
const bulkSize = 16 << 20
