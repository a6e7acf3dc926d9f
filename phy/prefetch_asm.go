//go:build amd64 || arm64

package phy

// prefetchRead and prefetchWrite ask for the lines of memory from p on that
// another core has, to read or to write them soon: 512 bytes, after which the
// processor sees by itself where things are going. Where nothing is to be had
// they do nothing; p need not even be valid.
//
// That is all of the assembly there is: with an MTU of 1500, a pipe between two
// cores is half as fast again for it.

//go:noescape
func prefetchRead(p *byte)

//go:noescape
func prefetchWrite(p *byte)
